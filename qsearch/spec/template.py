"""`init`: a runnable, commented spec for a person's own model, without any Python."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from qsearch.contracts.choices import AVAILABLE, DEFAULT, Choice
from qsearch.contracts.errors import UsageError
from qsearch.contracts.layer import Inspection, TensorInfo
from qsearch.spec import words
from qsearch.spec.examples import example_names, schema_comment, write_example, write_new
from qsearch.spec.naming import name_from
from qsearch.spec.units import format_size

__all__ = ["example_names", "write_example", "write_spec"]


def write_spec(
    out: Path, *, model: Path, data: Path | None, metric: str, inspection: Inspection, overwrite: bool = False
) -> Path:
    """Write the spec and return where it lies.

    With `data` it runs as it is. Without, it says at its top what to fill in, and `validate` says
    that the data is missing. Every key that is left out stands there as a comment.

    Args:
        out: the file, or a folder that gets MODEL.yaml.
        metric: a built-in metric; empty leaves the choice to the data (labels or none).

    Raises:
        UsageError: the file is there already, or there is no such metric.
        InputError: the file cannot be written.
    """
    objection = words.METRICS.objection(metric) if metric else ""
    if objection:
        raise UsageError(f"--metric: {objection}", "A function of your own needs a task; see `task` in the spec.")
    file = out / f"{name_from(model.stem)}.yaml" if out.is_dir() else out
    folder = file.absolute().parent
    parts = (
        _head(file, data, inspection),
        _model(model, folder),
        _data(data, folder, inspection) + _metric(metric),
        _goal(inspection),
        _space(inspection),
        _SEARCH,
    )
    return write_new(file, "\n".join(parts), overwrite)


def _head(file: Path, data: Path | None, inspection: Inspection) -> str:
    name = _visible(str(file))
    lines = [schema_comment(), "# Written by `qsearch init`; every key that is not set stands here as a comment."]
    if data is None:
        lines += [
            "#",
            "# TO FILL IN: samples. Save an .npz as said at `data` below, then remove the # there.",
            "#",
        ]
    largest, smallest = format_size(inspection.size_bytes), format_size(inspection.smallest_bytes)
    lines += [
        f"# Then: qsearch validate {name}, qsearch plan {name}, qsearch run {name}",
        f"# The model: {largest} in fp32, {smallest} at its smallest.",
        f"# Layers that can be quantized: {_layers(inspection)}",
        "# Inputs:",
        *(f"#   {_tensor(tensor)}" for tensor in inspection.inputs),
    ]
    return "\n".join(lines) + "\n"


def _model(model: Path, folder: Path) -> str:
    return f"""\
name: {_text(name_from(model.stem))}
model:
  path: {_text(_nearest(model, folder))}
  # Instead of path, a file inside an installed package (it is not imported):
  # package: some-package
  # file: model.onnx
  # Or a torch module: your own function beside the spec, which returns a TorchModel:
  # torch: module:function
  # The input that tells the step of the model's loop (noise level, time step), for the choice tdq:
  # time_input: t
"""


def _data(data: Path | None, folder: Path, inspection: Inspection) -> str:
    path = "samples.npz" if data is None else _nearest(data, folder)
    off = "# " if data is None else ""
    return f"""\
# One array per input, first axis = samples, a few hundred or more; and `labels`, if there are any:
#   {_savez(path, inspection)}
{off}data:
{off}  path: {_text(path)}
{off}  splits: auto  # dealt into calibration, search and held-out samples by search.seed
# Instead of data, a Python function beside this file that gives the samples and the metric:
# task: my_task:task
"""


def _metric(metric: str) -> str:
    if metric:
        return f"metric: {_text(metric)}\n"
    return """\
# Left out: top1 where there are labels; without labels, how closely the outputs follow fp32's.
# metric: top1
"""


def _goal(inspection: Inspection) -> str:
    axes = [axis for tensor in inspection.inputs for axis in tensor.shape[1:] if isinstance(axis, str)]
    axis = _text(axes[0]) if axes else "sequence"
    return f"""\
objectives: [latency, drop]  # two of: latency, drop, size, memory
constraints:
  drop: 1%  # of fp32's own score; 0.5pt = half a point of the metric
  # Largest file:
  # size: {max(1, round(inspection.size_bytes / 2**21))}MiB
  # Largest peak memory of the process that runs the model:
  # memory: 500MiB
  # Longest median time of one inference:
  # latency: 5ms
# Names (this-machine, cpu-2threads, cpu-4threads, openvino-1thread, or a file in targets/ beside this one),
# or written out:
#   - {{runtime: onnxruntime, provider: CPU, threads: 4, batch: 1, labels: {{isa: avx2}}}}
# samples per second at a batch size, and a runtime of another environment:
#   - {{batch: 8, scenario: offline, runtime: {{name: onnxruntime, python: other/bin/python}}}}
targets: [this-machine]
# Sizes of input axes to measure at; left out: the samples' own mix.
# shapes: {{{axis}: [32, 128]}}
"""


def _space(inspection: Inspection) -> str:
    possible = {choice for layer in inspection.layers for choice in layer.choices} | {Choice.FP32}
    choices = [choice for choice in DEFAULT if choice in possible]
    others = [choice for choice in AVAILABLE if choice in possible and choice not in DEFAULT]
    layer = inspection.layers[0].id if inspection.layers else "*embeddings*"
    return f"""\
space:
  choices: [{", ".join(choices if len(choices) > 1 else DEFAULT)}]{_also(others)}
  # Layers that are not searched: pattern over layer names (qsearch inspect MODEL) to choice.
  # pin: {{{_quoted(layer)}: fp32}}
"""


def _also(choices: Sequence[Choice]) -> str:
    return f"\n  # Can be added: {', '.join(choices)}." if choices else ""


_SEARCH = """\
search:
  trials: 40  # candidates measured, the uniform ones included
  time: 10m  # of searching; the final measurement comes after it
  seed: 0
  sampler: tpe  # tpe, nsga2, random
  finalists: 3  # measured again at the end, head to head and on held-out samples
  racing: true  # stop scoring a candidate once some of the samples show that it breaks the drop limit
precision: screen  # screen: two sessions of fresh processes per trial; quick: one, indicative only
# What happened beside a measurement rejects a pair of blocks, or flags the number. Some of the defaults
# (qsearch schema spec explains all):
# measurement: {reject: {steal: 3%, foreign: 10%, canary: 25%}, flag: {steal: 1%, foreign: 3%, canary: 5%}}
"""


def _layers(inspection: Inspection) -> str:
    counts = Counter(layer.op for layer in inspection.layers)
    weights = sum(layer.parameters for layer in inspection.layers)
    found = ", ".join(f"{count} {_visible(op)}" for op, count in counts.most_common())
    return f"{found} ({weights:,} weights)" if found else "none"


def _tensor(tensor: TensorInfo) -> str:
    shape = ", ".join("?" if axis is None else _visible(str(axis)) for axis in tensor.shape)
    return f"{_visible(tensor.name)} {tensor.dtype} [{shape}]"


def _savez(path: str, inspection: Inspection) -> str:
    names = [tensor.name for tensor in inspection.inputs]
    if all(name.isidentifier() for name in names):
        arrays = ", ".join(f"{name}=..." for name in (*names, "labels"))
    else:
        arrays = "**{" + ", ".join(f"{_quoted(name)}: ..." for name in (*names, "labels")) + "}"
    return f"numpy.savez({_quoted(path)}, {arrays})"


def _nearest(file: Path, folder: Path) -> str:
    """Relative where the file lies below the spec, so that the folder can be moved as a whole."""
    whole = Path(os.path.abspath(file))
    return whole.relative_to(folder).as_posix() if whole.is_relative_to(folder) else str(whole)


def _text(text: str) -> str:
    """A YAML scalar that is read back as this text."""
    plain = re.fullmatch(r"[A-Za-z/][\w./-]*", text, re.ASCII) and text.lower() not in _NOT_TEXT
    return text if plain else _quoted(text)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _visible(text: str) -> str:
    """Without what would end a comment: names in a model file are anybody's text."""
    return "".join(c if c.isprintable() else "?" for c in text)


#: words that YAML 1.1 does not read as text
_NOT_TEXT = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))
