"""The instrument bench's models: the yardstick, the yardstick with more work in it, and its int8 form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from qsearch.contracts.candidate import Candidate
from qsearch.contracts.choices import DEFAULT, Choice
from qsearch.contracts.target import Target
from qsearch.contracts.task import Feeds
from qsearch.graph.yardstick import SIDE, WIDTH, write_yardstick
from qsearch.measure.ort import OnnxRuntime
from qsearch.quantize.assemble import assemble
from qsearch.quantize.prepare import prepare_model

#: batches that every arm cycles through
BATCHES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """One model twice, as a job would assemble it."""

    fp32: Path
    int8: Path


def images(count: int = BATCHES) -> list[Feeds]:
    """Seeded inputs of the yardstick."""
    draw = np.random.default_rng(0)
    return [{"x": draw.standard_normal((1, 3, SIDE, SIDE)).astype(np.float32)} for _ in range(count)]


def yardstick(folder: Path) -> Path:
    """The model that every part of the bench stands on."""
    return write_yardstick(folder / "yardstick.onnx")


def with_more_work(model: Path, layers: int, out: Path) -> Path:
    """The yardstick followed by so many dense layers of its own width: real kernels, one after the other."""
    loaded = onnx.load(model)
    graph, draw = loaded.graph, np.random.default_rng(1)
    last = graph.output[0].name
    weight = draw.standard_normal((WIDTH, WIDTH)).astype(np.float32) * (2 / WIDTH) ** 0.5
    graph.initializer.append(numpy_helper.from_array(weight, "more_weight"))
    for number in range(layers):
        graph.node.append(helper.make_node("MatMul", [last, "more_weight"], [f"more{number}"], name=f"more{number}"))
        last = f"more_relu{number}"
        graph.node.append(helper.make_node("Relu", [f"more{number}"], [last], name=last))
    graph.output[0].name = last
    onnx.save(loaded, out)
    return out


def quantized(model: Path, folder: Path, target: Target) -> Quantized:
    """fp32 and int8-static wherever a layer can have it, assembled by the product."""
    prepared = prepare_model(
        model, folder / "prepared", calibration=images(), runtime=OnnxRuntime(), target=target, choices=DEFAULT
    )
    layers = prepared.inspection.layers
    static = {layer.id: Choice.INT8_STATIC if Choice.INT8_STATIC in layer.choices else Choice.FP32 for layer in layers}
    floats = dict.fromkeys(static, Choice.FP32)
    fp32 = assemble(folder / "prepared", Candidate(choices=floats), folder / "fp32")
    int8 = assemble(folder / "prepared", Candidate(choices=static), folder / "int8")
    return Quantized(fp32=fp32.path, int8=int8.path)
