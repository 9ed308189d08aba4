"""Latin fonts that come with a Python package, so that a rendered line needs nothing of the system."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from qsearch.contracts.errors import TaskError
from qsearch.contracts.installing import install_hint

#: where matplotlib keeps its fonts, below its distribution's root
_FOLDER = "matplotlib/mpl-data/fonts/ttf"
_FAMILIES = {
    "DejaVuSans": ("", "-Bold", "-Oblique", "-BoldOblique"),
    "DejaVuSerif": ("", "-Bold", "-Italic", "-BoldItalic"),
    "DejaVuSansMono": ("", "-Bold", "-Oblique", "-BoldOblique"),
    "STIXGeneral": ("", "Bol", "Italic", "BolIta"),
}


def latin_fonts() -> tuple[Path, ...]:
    """Sixteen TrueType files: DejaVu Sans, Serif and Mono and STIX, each upright, bold and slanted.

    The files are found by the package's metadata; matplotlib is not imported.

    Raises:
        TaskError: matplotlib is not installed, or without its fonts (some distributions take them out).
    """
    try:
        root = metadata.distribution("matplotlib")
    except metadata.PackageNotFoundError as error:
        raise TaskError(
            "text lines are drawn in the fonts of the package matplotlib, which is not installed",
            install_hint("ocr"),
        ) from error
    files = [
        Path(str(root.locate_file(f"{_FOLDER}/{family}{style}.ttf")))
        for family, styles in _FAMILIES.items()
        for style in styles
    ]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise TaskError(
            f"expected {len(files)} fonts in {files[0].parent}, {', '.join(missing)} not found",
            "Install matplotlib from its wheel: pip install --force-reinstall matplotlib",
        )
    return tuple(files)
