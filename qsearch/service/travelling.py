"""What travels with a job to another host: the user's own code, and nothing that is large or secret."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from qsearch.contracts.errors import Unreachable, Unsupported
from qsearch.contracts.job import JobSpec
from qsearch.spec.units import format_size

#: a file of more bytes is data, not code
FILE_BYTES = 4 << 20
#: more is no folder of a spec but somebody's home
ALL_BYTES = 64 << 20
ALL_FILES = 2000
#: models are named by the spec, settings may hold the password of a database
_NEVER = (".onnx", ".data", ".npz", ".safetensors", ".pt")
_SETTINGS = ("qsearch.toml",)
_FOLDERS = ("__pycache__", "node_modules", "venv", "env", "build", "dist")


def has_own_code(spec: JobSpec) -> bool:
    """Whether the task or the metric is a module in the folder of the spec; else there is nothing to bring along."""
    for named in (spec.task, spec.metric):
        module, colon, _ = named.partition(":")
        first = module.partition(".")[0]
        if colon and any((Path(spec.folder) / name).exists() for name in (f"{first}.py", first)):
            return True
    return False


def copy_code(folder: Path, to: Path) -> tuple[str, ...]:
    """Copy a spec's folder without models, data, settings, environments and what is hidden.

    Returns:
        Names of files that stayed behind for their size or kind, which the user's code may miss.

    Raises:
        Unsupported: what is left is too much to be the folder of a spec.
        Unreachable: it cannot be read or written.
    """
    stayed: list[str] = []
    number, total = 0, 0
    try:
        for file in _files(folder):
            name = file.relative_to(folder)
            size = file.stat().st_size
            if size > FILE_BYTES or file.suffix in _NEVER:
                stayed.append(str(name))
                continue
            number, total = number + 1, total + size
            if number > ALL_FILES or total > ALL_BYTES:
                raise Unsupported(
                    f"{folder} holds more than {ALL_FILES} files or {format_size(ALL_BYTES)} of code to send along",
                    "Put the spec and its task code into a folder of their own.",
                )
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, to / name)
    except OSError as error:
        raise Unreachable(f"the code in {folder} cannot be copied: {error.strerror}") from error
    return tuple(stayed)


def _files(folder: Path) -> Iterator[Path]:
    """Plain files; links are not followed, they may lead anywhere."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _FOLDERS)
        for name in sorted(files):
            file = Path(place, name)
            if not (name.startswith(".") or name in _SETTINGS or file.is_symlink()) and file.is_file():
                yield file
