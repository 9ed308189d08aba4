"""Pictures of animals, food and things with the ImageNet classes that a viewer would accept for them.

They are the stamps of Tux Paint (Debian package tuxpaint-stamps-default, GPL-2), read where the system has
them; nothing of them is in QSearch. `stamp_classes.json` says which of the thousand ImageNet classes each is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qsearch.contracts.errors import TaskError
from qsearch.contracts.task import Array

#: where Debian puts them
FOLDER = Path("/usr/share/tuxpaint/stamps")
#: grey of the paper behind the stamp, by view
_GREYS = (255, 128, 235, 60, 200, 170)
#: different pictures of one stamp
VIEWS = len(_GREYS)
#: how much of the picture's side the stamp's longer side takes
_SHARE = (0.62, 0.95)
#: folders of drawings that no photograph looks like
_DRAWN = frozenset({"cartoon", "toys"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """A picture on the disk and the classes that are right for it; none where ImageNet has no such class."""

    path: Path
    classes: tuple[int, ...]


def stamps() -> tuple[Stamp, ...]:
    """All of them, by path.

    Raises:
        TaskError: the system's package is not installed.
    """
    found = sorted(FOLDER.rglob("*.png"))
    if not found:
        raise TaskError(f"no pictures below {FOLDER}", "apt-get install tuxpaint-stamps-default")
    known: Mapping[str, list[int]] = json.loads(Path(__file__).with_name("stamp_classes.json").read_text())
    return tuple(
        Stamp(path=path, classes=tuple(known.get(path.stem, ())))
        for path in found
        if not _DRAWN & set(path.relative_to(FOLDER).parts)
    )


def picture(stamp: Stamp, view: int, size: int, rng: np.random.Generator) -> Array:
    """The stamp on a plain ground, uint8 [size, size, 3]: scaled at random, every other view mirrored."""
    from PIL import Image

    with Image.open(stamp.path) as opened:
        whole = opened.convert("RGBA")
    cut = whole.crop(whole.getbbox())
    scale = rng.uniform(*_SHARE) * size / max(cut.size)
    width, height = (max(1, round(side * scale)) for side in cut.size)
    drawn = cut.resize((width, height), Image.Resampling.LANCZOS)
    if view % 2:
        drawn = drawn.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    tint = rng.integers(-20, 21, 3) if view else np.zeros(3)
    ground = np.clip(_GREYS[view] + tint, 0, 255)
    canvas = Image.new("RGB", (size, size), tuple(int(grey) for grey in ground))
    canvas.paste(drawn, ((size - drawn.width) // 2, (size - drawn.height) // 2), drawn)
    return np.asarray(canvas)
