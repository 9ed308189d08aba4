"""Reading rendered and degraded lines of text with the PP-OCRv4 recogniser.

The model is in the package `rapidocr-onnxruntime`; the lines are `qsearch.zoo.lines`, drawn by
`qsearch.zoo.rendering` in the fonts of `qsearch.zoo.fonts`. Two tasks on the same samples: `task`
counts lines that are read without a mistake, `cer_task` the characters that are wrong; both are scored by
built-in metrics.

NOTE: spaces do not count, in neither metric. The model was trained on Chinese, where a space means
nothing, and leaves out many that a reader of English would see; what that costs does not depend on
how its layers are represented, and would drown what does. Characters that differ in form only (Unicode
NFKC) count as the same: to the model a bracket has two, a narrow and a Chinese one, which look alike. Both
rules are in the labels: what each line says and the characters of each class are written without them.

NOTE: lines are sorted by width in each split. The pictures are filled up to one of four widths, where the
package itself fills up from 320 pixels upward, so that latency is measured on a mix of four shapes: about
two thirds are 320 wide, a quarter 480. A measurement that takes every k-th line of a sorted split sees
the mix of all of them, and a batch fills up little. Splits share no text; nothing is trained, so the same
font may stand in all three.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from itertools import pairwise
from pathlib import Path

import numpy as np

from qsearch.contracts.errors import TaskError
from qsearch.contracts.task import Array, Feeds, Split, Task
from qsearch.zoo.fonts import latin_fonts
from qsearch.zoo.lines import text_lines
from qsearch.zoo.rendering import render

#: pixels; the model reads no other height
HEIGHT = 48
#: pixels; a line is filled up to the next of these
WIDTHS = (320, 480, 640, 800)
#: lines of each split
CALIBRATION, SEARCH, HELDOUT = 96, 400, 1000
_MODEL = ("rapidocr-onnxruntime", "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx")
_SEED = 48320


def task() -> Task:
    """Lines read without a mistake; higher is better.

    Samples are `x`, float32 [3, 48, W], W one of `WIDTHS`: blue, green, red from −1 to 1, 0 beyond the line.

    Raises:
        TaskError: the model's package, Pillow or the fonts are not installed.
    """
    calibration, search, heldout = _splits()
    return Task(metric="exact", score="exact", calibration=calibration, search=search, heldout=heldout, collate=collate)


def cer_task() -> Task:
    """Characters read wrongly, as a share of those written; lower is better. The samples of `task`."""
    return replace(task(), metric="cer", score="cer", higher_is_better=False)


def collate(samples: Sequence[Feeds]) -> Feeds:
    """A batch, float32 [B, 3, 48, W of the widest]: narrower lines are filled with zeros on the right."""
    widest = max(sample["x"].shape[2] for sample in samples)
    return {"x": np.stack([_filled(sample["x"], widest) for sample in samples])}


def plain(character: str) -> str:
    """The character of a class as it counts: in one form, a space as nothing."""
    return unicodedata.normalize("NFKC", character).strip()


def _splits() -> list[Split]:
    fonts, charset = latin_fonts(), np.array([plain(character) for character in _charset()])
    texts = text_lines(_SEED, CALIBRATION + SEARCH + HELDOUT)
    lines = []
    for number, text in enumerate(texts):
        rng = np.random.default_rng([_SEED, number])
        lines.append((_sample(render(text, fonts[int(rng.integers(len(fonts)))], rng)), text))
    ends = (0, CALIBRATION, CALIBRATION + SEARCH, len(lines))
    return [_split(lines[first:end], charset) for first, end in pairwise(ends)]


def _split(lines: Sequence[tuple[Feeds, str]], charset: Array) -> Split:
    ordered = sorted(lines, key=lambda line: int(line[0]["x"].shape[2]))
    texts = np.array([text.replace(" ", "") for _, text in ordered])
    return Split(samples=[sample for sample, _ in ordered], labels={"text": texts, "charset": charset})


def _sample(picture: Array) -> Feeds:
    """The picture at the model's height, its ratio kept up to the largest width."""
    from PIL import Image

    height, width, _ = picture.shape
    fitting = min(WIDTHS[-1], math.ceil(width * HEIGHT / height))
    image = Image.fromarray(picture).resize((fitting, HEIGHT), Image.Resampling.BILINEAR)
    # the model was trained on pictures as OpenCV reads them: blue first
    levels = np.asarray(image, dtype=np.float32)[:, :, ::-1] / np.float32(127.5) - np.float32(1)
    filled = _filled(levels.transpose(2, 0, 1), next(w for w in WIDTHS if w >= fitting))
    return {"x": filled}


def _filled(picture: Array, width: int) -> Array:
    return np.pad(picture, ((0, 0), (0, 0), (0, width - picture.shape[2])))


def _charset() -> list[str]:
    """The character of each class: nothing for the blank, then those in the model's metadata, then the space."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    package, name = _MODEL
    try:
        path = Path(str(metadata.distribution(package).locate_file(name)))
        found = {entry.key: entry.value for entry in onnx.load_model(path).metadata_props}
        return ["", *found["character"].split("\n"), " "]
    except metadata.PackageNotFoundError as error:
        raise TaskError(f"the task needs the package {package}", "make models") from error
    except FileNotFoundError as error:
        raise TaskError(f"the package {package} lacks {name}", "make models") from error
    except (OSError, DecodeError, KeyError) as error:
        raise TaskError(
            f"{path} is no recogniser with its characters in the metadata: {type(error).__name__}", "make models"
        ) from error
