"""A front written to a file; the suffix of its name says what it becomes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from qsearch.contracts.errors import Unsupported, UsageError
from qsearch.contracts.installing import install_hint
from qsearch.contracts.views import FrontView
from qsearch.report.front_scene import scene_of

#: suffix → the library that draws it
SUFFIXES = {".html": "plotly", ".png": "matplotlib", ".svg": "matplotlib", ".pdf": "matplotlib"}


def check_plot(file: Path, *, force: bool) -> None:
    """Refuse what could not be written, before anything is asked of a database.

    Raises:
        UsageError: another suffix; a file that exists, without `force`; a folder that is not there.
        Unsupported: the library is not installed.
    """
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise UsageError(
            f"--plot {file}: cannot draw into a {suffix or 'nameless kind of'} file",
            f"Possible are {known}; or - for the terminal.",
        )
    if find_spec(SUFFIXES[suffix]) is None:
        raise Unsupported(f"--plot {file}: {SUFFIXES[suffix]} is not installed", install_hint("plots"))
    with _writing(file):
        taken, homeless = file.is_dir() or (file.exists() and not force), not file.parent.is_dir()
        device = (file.exists() and not (file.is_file() or file.is_dir())) or file.parent.resolve() == Path("/dev")
    if device:
        raise UsageError(f"--plot {file}: expected a place for a file, found devices", "Choose another folder.")
    if taken:
        raise UsageError(
            f"{file} exists and is not overwritten", "Choose another name, or give --force to overwrite a file."
        )
    if homeless:
        raise UsageError(f"cannot write {file}: there is no folder {file.parent}", "Make it, or choose another.")


def write_plot(view: FrontView, file: Path) -> None:
    """Draw a front into a file, whole or not at all: a file of that name is replaced at the end.

    Raises:
        UsageError: the file cannot be written, or there is nothing to draw.
    """
    if not view.rows:
        raise UsageError(f"job {view.job} has nothing to draw yet", f"qsearch status {view.job}")
    suffix = file.suffix.lower()
    content = _DRAWERS[SUFFIXES[suffix]](view, suffix.removeprefix("."))
    half = file.with_name(f".{file.name}.{os.getpid()}")
    with _writing(file):
        try:
            half.write_bytes(content)
            half.replace(file)
        finally:
            half.unlink(missing_ok=True)


@contextmanager
def _writing(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror or error}", "Choose another name.") from error


def _page(view: FrontView, _: str) -> bytes:
    from plotly.offline import get_plotlyjs

    from qsearch.report.front_html import front_html

    return front_html(scene_of(view), get_plotlyjs()).encode()


def _image(view: FrontView, form: str) -> bytes:
    from qsearch.report.front_image import front_image

    return front_image(scene_of(view), form)


_DRAWERS: dict[str, Callable[[FrontView, str], bytes]] = {"plotly": _page, "matplotlib": _image}
