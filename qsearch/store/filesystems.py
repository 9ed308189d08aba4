"""Whether a folder lies on a network file system, where SQLite's locks cannot be trusted."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

#: statfs(2) magic numbers, from linux/magic.h and the file systems' own headers
_NETWORK = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB2",
    0x5346414F: "AFS",
    0x73757245: "Coda",
    0x00C36400: "Ceph",
    0x0BD00BD0: "Lustre",
    0x47504653: "GPFS",
    0x19830326: "BeeGFS",
    0x01161970: "GFS2",
}


def network_name(folder: Path) -> str:
    """Name of the network file system the folder lies on; empty when it is local or cannot be told.

    FUSE and 9p are not called network file systems: both also serve local files, in containers above all.
    """
    return _NETWORK.get(_magic(folder), "")


def _magic(folder: Path) -> int:
    if not sys.platform.startswith("linux"):
        return 0
    # f_type is the first word of struct statfs on every Linux; the rest is not looked at.
    buffer = ctypes.create_string_buffer(512)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.statfs(os.fsencode(folder), buffer) != 0:
        return 0
    return int.from_bytes(buffer.raw[: ctypes.sizeof(ctypes.c_long)], sys.byteorder) & 0xFFFFFFFF
