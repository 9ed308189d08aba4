"""Text drawn as a picture and made worse, as a camera, a scanner and a JPEG file would.

NOTE: how bad is bad. The ranges below were chosen with the fp32 recogniser alone, before any quantized one
had read a line, so that it reads about 94 of 100 lines without a mistake: what a user of it may expect of
real lines. On clean pictures it makes so few mistakes that only a broken candidate would show, and on
worse ones its own mistakes would hide those of a candidate.
"""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qsearch.contracts.errors import TaskError
from qsearch.contracts.installing import install_hint
from qsearch.contracts.task import Array

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

#: points of the font
_SIZES = (22, 40)
#: pixels around the text
_MARGIN = (2, 8)
#: grey of the paper and of the ink, 0 = black, and how far a colour may be from grey
_PAPER, _INK, _TINT = (150, 256), (0, 111), 15
#: largest rotation in degrees, and so many pixels one end of a long line may lie above the other
_DEGREES, _SLOPE = 2.0, 6.0
#: to which share of its size the picture is made smaller
_SHRINK = (0.55, 0.95)
#: largest radius of the blur in pixels, standard deviation of the noise in grey levels, JPEG quality
_BLUR, _NOISE, _QUALITY = 0.8, 15.0, (30, 86)


def render(text: str, font: Path, rng: np.random.Generator) -> Array:
    """The text on one line, uint8 [height, width, 3], red first.

    Equal arguments and an equal state of `rng` give equal pixels under one version of Pillow.

    Raises:
        TaskError: Pillow is not installed.
    """
    image = _turned(_drawn(text, _font(font, int(rng.integers(*_SIZES))), rng), rng)
    return _compressed(_blurred(image, rng), rng)


@lru_cache(maxsize=512)
def _font(file: Path, size: int) -> FreeTypeFont:
    try:
        from PIL import ImageFont
    except ImportError as error:
        raise TaskError(
            "text lines are drawn with the package pillow, which is not installed", install_hint("ocr")
        ) from error
    # the basic layout: with the other one, pixels would depend on a library that some systems have
    return ImageFont.truetype(str(file), size, layout_engine=ImageFont.Layout.BASIC)


def _drawn(text: str, font: FreeTypeFont, rng: np.random.Generator) -> Image:
    from PIL import Image, ImageDraw

    left, top, right, bottom = (int(edge) for edge in font.getbbox(text))
    across, down = (int(margin) for margin in rng.integers(*_MARGIN, size=2))
    size = (right - left + 2 * across, bottom - top + 2 * down)
    image = Image.new("RGB", size, _colour(_PAPER, rng))
    ImageDraw.Draw(image).text((across - left, down - top), text, font=font, fill=_colour(_INK, rng))
    return image


def _colour(greys: tuple[int, int], rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = np.clip(rng.integers(*greys) + rng.integers(-_TINT, _TINT + 1, size=3), 0, 255).tolist()
    return red, green, blue


def _turned(image: Image, rng: np.random.Generator) -> Image:
    """Rotated and shrunk; the corners that appear get the colour of the paper."""
    from PIL import Image as Pillow

    most = min(_DEGREES, float(np.degrees(_SLOPE / image.width)))
    paper = image.getpixel((0, 0))
    turned = image.rotate(
        float(rng.uniform(-most, most)), resample=Pillow.Resampling.BICUBIC, expand=True, fillcolor=paper
    )
    share = float(rng.uniform(*_SHRINK))
    size = (max(1, round(turned.width * share)), max(1, round(turned.height * share)))
    return turned.resize(size, Pillow.Resampling.BILINEAR)


def _blurred(image: Image, rng: np.random.Generator) -> Image:
    from PIL import Image as Pillow
    from PIL import ImageFilter

    soft = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, _BLUR))))
    # whole numbers from here on: the last bits of a sum of floats are not the same on every machine
    noise = np.rint(rng.normal(0, _NOISE, size=(soft.height, soft.width, 3))).astype(np.int64)
    return Pillow.fromarray(np.clip(np.asarray(soft, dtype=np.int64) + noise, 0, 255).astype(np.uint8))


def _compressed(image: Image, rng: np.random.Generator) -> Array:
    from PIL import Image as Pillow

    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(rng.integers(*_QUALITY)))
    with Pillow.open(file) as read:
        return np.asarray(read.convert("RGB"), dtype=np.uint8)
