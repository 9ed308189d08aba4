"""The stack on which this thread's signal handlers run, kept across OpenVINO's start."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _Stack(ctypes.Structure):
    """`stack_t` of sigaltstack(2), in Linux's order."""

    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def signal_stack_kept() -> Iterator[None]:
    """Give this thread back, after the block, the alternate signal stack that it had before; on Linux.

    NOTE: the CPU plugin of every Core sets one of its own when it is first needed, and frees it with the
    Core. It puts the one before back only where its own is still set, so that of two Cores, the first gone
    first, the memory that is left set is freed memory. CPython runs its handlers there: the next Ctrl-C
    would be a segmentation fault.
    """
    if not sys.platform.startswith("linux"):
        yield
        return
    library, before = ctypes.CDLL(None), _Stack()
    known = library.sigaltstack(None, ctypes.byref(before)) == 0
    try:
        yield
    finally:
        # Refused only where the stack of before is too small for this CPU's registers: then the new one is better.
        if known:
            library.sigaltstack(ctypes.byref(before), None)
