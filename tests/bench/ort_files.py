"""ONNX Runtime's own quantizers, one recipe and one process at a time.

    python -m tests.bench.ort_files '{"recipe": {...}, "model": ..., "samples": ..., "out": ...}'

A quantizer may raise, crash or take all memory; whatever becomes of its process is the recipe's answer.
It works in a folder of its own: what it leaves in the current one, and it leaves something, goes with that folder.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from qsearch.contracts.task import Feeds

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 1800.0
#: what the parent reads begins with this; the quantizers print as well
_ANSWER = "answer: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one of their quantizers is called."""

    name: str
    #: dynamic, or static: QDQ with ranges from calibration samples
    static: bool
    #: empty = the quantizer's default
    op_types: tuple[str, ...] = ()
    per_channel: bool = False
    reduce_range: bool = False
    #: run quant_pre_process first: shape inference and the runtime's own optimisation
    preprocess: bool = False
    #: activations uint8 instead of int8, as their guide says for x86
    unsigned: bool = False
    #: ranges by Entropy instead of MinMax
    entropy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What became of a recipe."""

    recipe: Recipe
    #: None when there is no file
    file: Path | None
    #: operators of the model that it may quantize; empty when the model could not be read
    op_types: tuple[str, ...]
    #: what was done to the model before; empty = nothing
    preprocessing: str = ""
    #: first line of what went wrong
    error: str = ""


MATMUL, BOTH = ("MatMul",), ("MatMul", "Conv")


def recipes(*, saturates: bool) -> tuple[Recipe, ...]:
    """Their defaults, what changes when one thing is changed, and what their guide advises for this machine.

    NOTE: the preprocessed ones are there so that the comparison is not only with defaults: what the
    docstring of quantize_static advises for x86 (uint8 activations, int8 weights, 7 bits of them where
    products saturate), per tensor for throughput and per channel for accuracy. It is still a list and not
    a search: no node is left out by name, and SmoothQuant, percentiles and weights-only MatMul are not tried.

    Args:
        saturates: the machine has no VNNI.
    """
    tuned = {"reduce_range": saturates, "preprocess": True}
    fast = {"static": True, "unsigned": True, **tuned}
    exact = {"per_channel": True, **fast}
    return (
        Recipe(name="dynamic", static=False),
        Recipe(name="dynamic, MatMul only", static=False, op_types=MATMUL),
        Recipe(name="dynamic, per channel", static=False, per_channel=True),
        Recipe(name="dynamic, per channel, MatMul only", static=False, op_types=MATMUL, per_channel=True, **tuned),
        Recipe(name="static", static=True),
        Recipe(name="static, per channel", static=True, per_channel=True),
        Recipe(name="static, MatMul and Conv", static=True, op_types=BOTH),
        Recipe(name="static, uint8", **fast),
        Recipe(name="static, uint8, MatMul and Conv", op_types=BOTH, **fast),
        Recipe(name="static as advised", **exact),
        Recipe(name="static as advised, MatMul and Conv", op_types=BOTH, **exact),
        Recipe(name="static as advised, MatMul and Conv, entropy", op_types=BOTH, entropy=True, **exact),
    )


def make(recipe: Recipe, model: Path, samples: Path, out: Path, timeout_s: float = TIMEOUT_S) -> Made:
    """Run a recipe in a process of its own.

    Args:
        recipe: which quantizer, how.
        model: fp32.
        samples: a split of `write_samples` with the calibration batches.
        out: the file to write, in a folder that is there; other files of the recipe lie beside it.
        timeout_s: seconds after which the process is killed.
    """
    files = {"model": model, "samples": samples, "out": out}
    order = {"recipe": asdict(recipe), **{name: str(file.resolve()) for name, file in files.items()}}
    command = [sys.executable, "-m", "tests.bench.ort_files", json.dumps(order)]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    try:
        with TemporaryDirectory(prefix="quantizer-", dir=out.parent) as folder:
            done = subprocess.run(
                command,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": path},
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
    except subprocess.TimeoutExpired:
        return Made(recipe=recipe, file=None, op_types=recipe.op_types, error=f"no file after {timeout_s:g} s")
    answers = [line for line in done.stdout.splitlines() if line.startswith(_ANSWER)]
    if not answers:
        last = done.stderr.strip().splitlines()[-1:] or [""]
        error = f"its process ended with {done.returncode}: {last[0]}"
        return Made(recipe=recipe, file=None, op_types=recipe.op_types, error=error)
    said = json.loads(answers[-1].removeprefix(_ANSWER))
    return Made(
        recipe=recipe,
        file=None if said["error"] else out,
        op_types=tuple(said["op_types"]),
        preprocessing=said["preprocessing"],
        error=said["error"],
    )


def main() -> int:
    """Carry out one order; what goes wrong is the answer."""
    order = json.loads(sys.argv[1])
    logging.getLogger().setLevel(logging.ERROR)
    recipe = Recipe(**{**order["recipe"], "op_types": tuple(order["recipe"]["op_types"])})
    model, out = Path(order["model"]), Path(order["out"])
    op_types: list[str] = []
    preprocessing = error = ""
    try:
        op_types = _quantizable(recipe, model)
        if recipe.preprocess:
            model, preprocessing = _preprocessed(model, out.with_suffix(".prepared.onnx"))
        _quantize(recipe, model, Path(order["samples"]), out)
    except Exception as raised:  # noqa: BLE001 - whatever a foreign quantizer raises is the row's error
        error = _first_line(raised)
    answer = {"op_types": op_types, "preprocessing": preprocessing, "error": error}
    print(_ANSWER + json.dumps(answer), flush=True)
    return 0


def _quantizable(recipe: Recipe, model: Path) -> list[str]:
    import onnx
    from onnxruntime.quantization.registry import IntegerOpsRegistry, QDQRegistry, QLinearOpsRegistry

    there = {node.op_type for node in onnx.load(model, load_external_data=False).graph.node}
    default = {*QLinearOpsRegistry, *QDQRegistry} if recipe.static else set(IntegerOpsRegistry)
    return sorted(there & (set(recipe.op_types) or default))


def _preprocessed(model: Path, out: Path) -> tuple[Path, str]:
    """The model as quant_pre_process leaves it, and in words what that did.

    NOTE: its symbolic shape inference refuses some models, the demo's among them; the rest of it still runs then.
    """
    from onnxruntime.quantization.shape_inference import quant_pre_process

    try:
        quant_pre_process(str(model), str(out))
    except Exception as raised:  # noqa: BLE001 - it raises bare Exceptions
        quant_pre_process(str(model), str(out), skip_symbolic_shape=True)
        return out, f"quant_pre_process without symbolic shapes ({_first_line(raised)})"
    return out, "quant_pre_process"


def _quantize(recipe: Recipe, model: Path, samples: Path, out: Path) -> None:
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )

    from qsearch.measure.samples import read_samples

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._feeds: Iterator[Feeds] = iter(read_samples(samples).feeds)

        def get_next(self) -> Feeds | None:
            return next(self._feeds, None)

    shared = {
        "op_types_to_quantize": list(recipe.op_types) or None,
        "per_channel": recipe.per_channel,
        "reduce_range": recipe.reduce_range,
    }
    if recipe.static:
        ranges = {
            "activation_type": QuantType.QUInt8 if recipe.unsigned else QuantType.QInt8,
            "calibrate_method": CalibrationMethod.Entropy if recipe.entropy else CalibrationMethod.MinMax,
        }
        quantize_static(str(model), str(out), Reader(), **ranges, **shared)
    else:
        quantize_dynamic(str(model), str(out), **shared)


def _first_line(raised: Exception) -> str:
    lines = str(raised).strip().splitlines() or [""]
    return f"{type(raised).__name__}: {lines[0][:300]}"


if __name__ == "__main__":
    sys.exit(main())
