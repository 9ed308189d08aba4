"""Small ONNX graphs, the real runtime, and the way from a graph to a candidate's outputs."""

from __future__ import annotations

import importlib.metadata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from qsearch.contracts.candidate import Candidate
from qsearch.contracts.choices import AVAILABLE, UNTIMED, Choice
from qsearch.contracts.target import Target
from qsearch.quantize.assemble import assemble, write_model
from qsearch.quantize.index import read_index
from qsearch.quantize.prepare import PreparedModel, prepare_model
from qsearch.quantize.rounding import WeightRules

TARGET = Target(name="here")
ROWS = (Choice.FP32, Choice.INT8_WEIGHT, Choice.INT4_WEIGHT, Choice.TERNARY)
CAPABILITIES = {"MatMul": AVAILABLE, "Gemm": AVAILABLE, "Conv": AVAILABLE, "Gather": ROWS}
#: the same numbers on every CPU: u8×s8 sums do not saturate
EXACT = {"session.x64quantprecision": "1"}
_TYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "int32": TensorProto.INT32}


class Session:
    """An ONNX Runtime session as `Loaded`."""

    def __init__(self, path: Path, outputs: Sequence[str] = (), exact: bool = True) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        for key, value in (EXACT if exact else {}).items():
            options.add_session_config_entry(key, value)
        self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._outputs = list(outputs) or [o.name for o in self._session.get_outputs()]

    def inputs(self) -> dict[str, tuple[str, tuple[Any, ...]]]:
        return {i.name: (i.type, tuple(i.shape)) for i in self._session.get_inputs()}

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(feeds)), strict=True))

    def threads(self) -> int:
        return 0

    def float_ops(self) -> dict[str, int]:
        return {}


class RealRuntime:
    """ONNX Runtime as `Runtime`, with every kernel of this version."""

    def version(self) -> str:
        return f"onnxruntime {ort.__version__}"

    def capabilities(self) -> Mapping[str, Sequence[Choice]]:
        return CAPABILITIES

    def load(self, model: Path, target: Target, *, outputs: Sequence[str] = ()) -> Session:
        return Session(model, outputs)


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], name: str = "", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, list(inputs), list(outputs), name=name, **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Sequence[str],
    weights: Mapping[str, np.ndarray],
    opset: int = 17,
    dtypes: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """A model whose outputs have unknown rank, with weights as initializers."""
    given = [
        helper.make_tensor_value_info(n, _TYPES[(dtypes or {}).get(n, "float32")], list(s)) for n, s in inputs.items()
    ]
    got = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    stored = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(list(nodes), "tiny", given, got, stored)
    opsets = [helper.make_opsetid("", opset)]
    if any(n.domain == "com.microsoft" for n in nodes):
        opsets.append(helper.make_opsetid("com.microsoft", 1))
    return helper.make_model(graph, opset_imports=opsets, ir_version=8 if opset < 21 else 10)


def save(proto: onnx.ModelProto, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "source.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def prepare(
    source: onnx.ModelProto | Path,
    folder: Path,
    feeds: Sequence[Mapping[str, np.ndarray]],
    choices: Sequence[Choice] = UNTIMED,
    weight_bits: int = 8,
    target: Target = TARGET,
    compensate: bool = False,
    *,
    time_input: str = "",
) -> PreparedModel:
    """Prepare into `folder / "prepared"`; with weights rounded to nearest, as the schemes' definitions have them."""
    path = source if isinstance(source, Path) else save(source, folder)
    return prepare_model(
        path,
        folder / "prepared",
        calibration=feeds,
        runtime=RealRuntime(),
        target=target,
        choices=choices,
        rules=WeightRules(bits=weight_bits, compensate=compensate),
        time_input=time_input,
    )


def uniform(folder: Path, choice: Choice) -> Candidate:
    """The choice wherever a layer has it, else fp32."""
    layers = read_index(folder / "prepared").layers
    return Candidate(choices={x.id: choice if choice in x.choices else Choice.FP32 for x in layers})


def run_candidate(
    folder: Path, candidate: Candidate, feeds: Mapping[str, np.ndarray], exact: bool = True
) -> dict[str, np.ndarray]:
    """Outputs of the assembled candidate, after checking that the written file gives the same bits."""
    short = assemble(folder / "prepared", candidate, folder / "assembled")
    whole = write_model(folder / "prepared", candidate, folder / "written" / "model.onnx")
    assert whole.size_bytes == short.size_bytes == whole.path.stat().st_size
    found = Session(short.path, exact=exact).run(feeds)
    again = Session(whole.path, exact=exact).run(feeds)
    for name, array in found.items():
        np.testing.assert_array_equal(array, again[name], err_msg=name)
    _check(whole.path)
    return found


def _check(path: Path) -> None:
    """onnx's own checker, which wants a rank for outputs that have none here."""
    proto = onnx.load(path)
    for value in proto.graph.output:
        value.type.tensor_type.shape.SetInParent()
    onnx.checker.check_model(proto)


def optimised(folder: Path, file: Path | None = None) -> Counter[str]:
    """Operators that ONNX Runtime really runs for the last written candidate."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    path = file or folder / "written" / "model.onnx"
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Counter(n.op_type for n in onnx.load(folder / "optimised.onnx").graph.node)


def installed(package: str, ending: str) -> Path:
    """A model file inside an installed package."""
    files = importlib.metadata.files(package) or []
    return Path(str(next(f for f in files if str(f).endswith(ending)).locate()))
