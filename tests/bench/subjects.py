"""The models that the engine's benches run on, each with samples of its own task."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from tempfile import gettempdir

from qsearch.contracts.task import Feeds, Task

#: calibration samples of every comparison
SAMPLES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model file and batches of one sample that it can be fed with."""

    name: str
    path: Path
    #: calibration split of its task
    feeds: Sequence[Feeds]
    #: op types that ONNX Runtime's own quantizer is told to quantize: what it does best here
    op_types: tuple[str, ...]
    #: its per-channel mode raises or writes an invalid file for some models
    per_channel: bool


def minilm_l6() -> Subject:
    """A torch module, exported."""
    from qsearch.zoo import minilm_l6 as zoo

    feeds = _batches(zoo.task())
    return Subject(name="MiniLM-L6", path=_exported(zoo.model), feeds=feeds, op_types=("MatMul",), per_channel=True)


def efficientnet() -> Subject:
    """A torch module, exported."""
    from qsearch.zoo import efficientnet as zoo

    return Subject(
        name="EfficientNet-Lite0",
        path=_exported(zoo.model),
        feeds=_batches(zoo.task()),
        op_types=("Conv", "Gemm"),
        per_channel=True,
    )


def recogniser() -> Subject:
    """A file of a package."""
    from qsearch.zoo import ocr as zoo

    package = distribution("rapidocr-onnxruntime")
    path = Path(str(package.locate_file("rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx")))
    feeds = _batches(zoo.task())
    return Subject(name="PP-OCRv4 rec", path=path, feeds=feeds, op_types=("MatMul", "Conv"), per_channel=False)


SUBJECTS: dict[str, Callable[[], Subject]] = {
    "MiniLM-L6": minilm_l6,
    "PP-OCRv4 rec": recogniser,
    "EfficientNet-Lite0": efficientnet,
}


def _batches(task: Task) -> list[Feeds]:
    samples = task.calibration.samples
    return [task.collate([samples[i * len(samples) // SAMPLES]]) for i in range(min(SAMPLES, len(samples)))]


def _exported(factory: Callable[[], object]) -> Path:
    """Exported once per machine and state of the sources: the exporter is not what a bench measures."""
    from qsearch.contracts.torch_model import TorchModel
    from qsearch.quantize.torch_export import export_torch

    source = Path(str(sys.modules[factory.__module__].__file__)).read_bytes()
    folder = Path(gettempdir()) / f"qsearch-bench-{factory.__module__}-{hashlib.sha256(source).hexdigest()[:12]}"
    if not (folder / "model.onnx").is_file():
        made = factory()
        assert isinstance(made, TorchModel)
        export_torch(made, folder)
    return folder / "model.onnx"
