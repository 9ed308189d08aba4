"""OpenVINO behind the `Runtime` port, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from qsearch.contracts.choices import Choice
from qsearch.contracts.errors import DataError, ModelError, QSearchError, Unsupported
from qsearch.contracts.runtime import Loaded
from qsearch.contracts.target import Target
from qsearch.contracts.task import Array, Feeds
from qsearch.measure.feeds import check_feeds
from qsearch.measure.graph_ports import Ports, read_ports
from qsearch.measure.ov_graph import count_executed
from qsearch.measure.ov_package import openvino, refusals, translated
from qsearch.measure.ov_properties import DEVICE, must_be_honoured, ready_core, threads_of
from qsearch.measure.ov_signal_stack import signal_stack_kept

_ROWS = (Choice.FP32, Choice.INT8_WEIGHT, Choice.INT4_WEIGHT, Choice.TERNARY)
_WEIGHTED = (Choice.FP32, Choice.INT8_STATIC, *_ROWS[1:], Choice.BINARY)
#: ONNX operator → choices that an execution plan exists for; every other operator stays fp32.
#: NOTE: read off the graph that OpenVINO 2026.4 executes on x86-64, not off its documents. Quantize/dequantize pairs
#: run as u8 × i8 kernels. MatMulInteger and ConvInteger load and give right numbers, computed in float
#: behind a dozen conversions, slower than fp32: int8-dynamic has no kernel. MatMulNBits
#: keeps its weights in two, four or eight bits where the inner size is whole blocks; elsewhere, and for
#: Conv, packed weights are unpacked to float when the model is compiled.
CAPABILITIES: Mapping[str, tuple[Choice, ...]] = MappingProxyType(
    {"MatMul": _WEIGHTED, "Gemm": _WEIGHTED, "Conv": _WEIGHTED, "Gather": _ROWS}
)
#: element types that numpy has no name for, or that OpenVINO reads beyond their end
_UNUSABLE = {"string": "strings, which OpenVINO corrupts", "bf16": "bfloat16, which it cannot hand over"}


class OpenVino:
    """Loads .onnx files, external data included, with OpenVINO. The first call imports it.

    One inference at a time in the caller's thread and `target.threads` − 1 more: `load` reads back what
    OpenVINO runs with. What it starts beside them compiles the model and sleeps afterwards. It does
    not pin, keeps no cache of compiled models and sends no telemetry. Axes that the file leaves open
    stay open: it prepares its kernels anew in the first inference of a shape that it has not met.
    Deterministic for equal feeds on one machine_key.
    """

    def version(self) -> str:
        """ "openvino 2026.4.1"."""
        return f"openvino {openvino().get_version().partition('-')[0]}"

    def providers(self) -> Sequence[str]:
        """The CPU: the one that QSearch drives it on."""
        openvino()
        return (DEVICE,)

    def capabilities(self, provider: str = DEVICE) -> Mapping[str, Sequence[Choice]]:
        """ONNX operator → choices with a kernel."""
        return CAPABILITIES

    @signal_stack_kept()
    def load(self, model: Path, target: Target, *, outputs: Sequence[str] = ()) -> Loaded:
        """See `Runtime.load`. WorkFailed(OUT_OF_MEMORY) when the model does not fit."""
        if not model.is_file():
            raise ModelError(f"{model} is not there")
        core, ports = ready_core(target), read_ports(model)
        unknown = [name for name in outputs if name not in ports.outputs]
        if unknown:
            raise ModelError(f"{model.name} has no output {unknown[0]}; it has {', '.join(ports.outputs)}")
        try:
            compiled = core.compile_model(core.read_model(str(model)), DEVICE)
        except refusals() as error:
            raise translated(error, f"OpenVINO refuses {model.name}") from error
        must_be_honoured(core, compiled, target)
        return _OpenVinoModel(compiled, model, ports, tuple(outputs) or ports.outputs)


class _OpenVinoModel:
    """A compiled model and its one request. `Loaded` says what it promises."""

    def __init__(self, compiled: Any, model: Path, ports: Ports, outputs: Sequence[str]) -> None:
        self._compiled, self._model, self._request = compiled, model, compiled.create_infer_request()
        self._fed = [(name, _index(compiled.inputs, name, model)) for name in ports.inputs]
        self._picked = [(name, _index(compiled.outputs, name, model)) for name in outputs]
        self._inputs = {
            name: (_dtype(name, compiled.inputs[i], model), _shape(compiled.inputs[i], ports.inputs[name]))
            for name, i in self._fed
        }
        for name, i in self._picked:
            _dtype(name, compiled.outputs[i], model)
        #: any size along axes that the file leaves open, whatever it calls them, as ONNX Runtime has it
        self._loose = {
            name: (dtype, tuple(d if isinstance(d, int) else None for d in shape))
            for name, (dtype, shape) in self._inputs.items()
        }
        self._fitting: set[tuple[tuple[str, np.dtype[Any], tuple[int, ...]], ...]] = set()

    def inputs(self) -> Mapping[str, tuple[str, tuple[int | str | None, ...]]]:
        return self._inputs

    def run(self, feeds: Feeds) -> Mapping[str, Array]:
        arrays = {name: np.asarray(array) for name, array in feeds.items()}
        self._check(arrays)
        try:
            # Inputs are read where they lie, as ONNX Runtime does; outputs are copies and stay as they are.
            found = tuple(self._request.infer({i: arrays[name] for name, i in self._fed}, share_inputs=True).values())
        except refusals() as error:
            raise self._explain(arrays, error) from error
        return {name: found[i] for name, i in self._picked}

    def threads(self) -> int:
        """As the compiled model tells."""
        return threads_of(self._compiled)

    def facts(self) -> Mapping[str, str]:
        """None: every node runs on the CPU."""
        return {}

    def float_ops(self) -> Mapping[str, int]:
        """With the precision of each kernel: "FullyConnected:u8"."""
        return count_executed(self._compiled)

    def _check(self, arrays: Mapping[str, Array]) -> None:
        """Refuse what OpenVINO takes in silence: it casts other types, and runs on the last feed of a missing input.

        Once per shape: this stands inside the call that is timed.
        """
        kinds = tuple((name, array.dtype, array.shape) for name, array in arrays.items())
        if kinds in self._fitting:
            return
        try:
            check_feeds(self._loose, arrays)
        except DataError:
            check_feeds(self._inputs, arrays)  # the same, in the file's words
            raise
        self._fitting.add(kinds)

    def _explain(self, arrays: Mapping[str, Array], error: Exception) -> QSearchError:
        failed = translated(error, f"{self._model.name} loaded, and failed when run")
        if isinstance(failed, ModelError):
            try:
                check_feeds(self._inputs, arrays)
            except DataError as wrong:
                return wrong
        return failed


def _index(ports: Sequence[Any], name: str, model: Path) -> int:
    for index, port in enumerate(ports):
        if name in port.get_names():
            return index
    raise ModelError(f"OpenVINO dropped {name!r} from {model.name}", "Measure it on onnxruntime instead.")


def _dtype(name: str, port: Any, model: Path) -> str:
    kind = port.get_element_type()
    if kind.to_string() in _UNUSABLE:
        raise Unsupported(
            f"{model.name}: {name!r} holds {_UNUSABLE[kind.to_string()]}", "Measure it on onnxruntime instead."
        )
    return str(np.dtype(kind.to_dtype()))


def _shape(port: Any, axes: Sequence[str]) -> tuple[int | str | None, ...]:
    """Sizes, and for open axes the file's name of them; the file gives both, so that there are as many."""
    sizes = zip(port.get_partial_shape(), axes, strict=True)
    return tuple(size.get_length() if size.is_static else axis or None for size, axis in sizes)
