"""ONNX Runtime's execution providers: which one a target means, what it can run, and whether it really does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from qsearch.contracts.choices import Choice
from qsearch.contracts.errors import Unsupported
from qsearch.contracts.target import Target

#: how ONNX Runtime ends the name of a provider
ENDING = "ExecutionProvider"
CPU = f"CPU{ENDING}"
#: session entry that makes a session remember which provider each node went to
RECORD = "session.record_ep_graph_assignment_info"

_WEIGHTED = (
    Choice.FP32,
    Choice.INT8_STATIC,
    Choice.INT8_DYNAMIC,
    Choice.INT8_WEIGHT,
    Choice.INT4_WEIGHT,
    Choice.TERNARY,
    Choice.BINARY,
    Choice.TDQ,
)
_TABLE = (Choice.FP32, Choice.INT8_WEIGHT, Choice.INT4_WEIGHT, Choice.TERNARY)
_CPU_TABLE: Mapping[str, tuple[Choice, ...]] = MappingProxyType(
    {"MatMul": _WEIGHTED, "Gemm": _WEIGHTED, "Conv": _WEIGHTED, "Gather": _TABLE}
)
#: NOTE: read off the operators and not off a device, which this version was not tried on. A pair of
#: quantize and dequantize around a float operator is plain ONNX that every provider can be given; whether
#: it has an integer kernel for it, the measurement says. DynamicQuantizeLinear with MatMulInteger, and
#: MatMulNBits of two, four and eight bits, are kernels of the CPU: elsewhere they would be carried back and forth.
_OTHER_TABLE: Mapping[str, tuple[Choice, ...]] = MappingProxyType(
    dict.fromkeys(("MatMul", "Gemm", "Conv"), (Choice.FP32, Choice.INT8_STATIC)) | {"Gather": (Choice.FP32,)}
)


def capabilities_of(provider: str) -> Mapping[str, Sequence[Choice]]:
    """ONNX operator → choices that an execution plan exists for; every other operator stays fp32."""
    return _CPU_TABLE if is_cpu(provider) else _OTHER_TABLE


def is_cpu(provider: str) -> bool:
    """Whether a target's word means the CPU provider."""
    return short(provider).lower() == "cpu"


def short(provider: str) -> str:
    """`CUDA` of CUDAExecutionProvider."""
    return provider.removesuffix(ENDING)


def provider_named(target: Target, available: Sequence[str]) -> str:
    """The provider that a target means, by ONNX Runtime's own name.

    Args:
        target: whose provider is asked for.
        available: what the installed build has.

    Raises:
        Unsupported: the build does not have it; lists what it has.
    """
    for name in available:
        if short(target.provider).lower() == short(name).lower():
            return name
    has = ", ".join(short(name) for name in available)
    raise Unsupported(
        f"target {target.name}: provider {target.provider} is not in this ONNX Runtime; it has {has}",
        "Another build has it (onnxruntime-gpu, -openvino, -qnn...): install that one, or name the interpreter of an "
        "environment that has it: runtime: {python: PATH}",
    )


def must_be_used(session: Any, target: Target, provider: str) -> None:
    """Refuse a session that runs on another provider than asked for, or that dropped its options.

    NOTE: a provider that cannot be started leaves the session on the CPU with a warning. An option that a
    provider does not read is dropped without one: ONNX Runtime 1.32 takes any option for the CPU and
    reads back none. Only what reads back is known to be honoured.

    Raises:
        Unsupported: names the provider or the option.
    """
    found = list(session.get_providers())
    if found[:1] != [provider]:
        raise Unsupported(
            f"target {target.name}: {short(provider)} could not be started; ONNX Runtime fell back to "
            f"{', '.join(map(short, found)) or 'nothing'}",
            "Its libraries or its device may be missing; ONNX Runtime says which on stderr.",
        )
    read_back = session.get_provider_options().get(provider, {})
    for key, value in target.provider_options.items():
        if key not in read_back:
            known = f"it reads back {', '.join(sorted(read_back))}" if read_back else "it reads back none"
            raise Unsupported(
                f"target {target.name}: provider {short(provider)} has no option {key}; {known}", "Leave it out."
            )
        if not _same(read_back[key], value):
            raise Unsupported(
                f"target {target.name}: provider option {key}={value} is not honoured here: {short(provider)} has "
                f"{read_back[key]}",
                "Leave it out.",
            )


def assignment_of(session: Any, target: Target, provider: str, model: str) -> dict[str, str]:
    """How many nodes run on the provider, where it is not the CPU itself.

    Args:
        session: made with the entry `RECORD`; builds before it existed cannot tell, which is said.
        target: whose provider it is.
        provider: by ONNX Runtime's name.
        model: for messages.

    Raises:
        Unsupported: not one node runs there.
    """
    if provider == CPU:
        return {}
    tell = getattr(session, "get_provider_graph_assignment_info", None)
    if tell is None:
        return {"fallback_nodes": "unknown"}
    placed = Counter(dict.fromkeys((provider, CPU), 0))
    for part in tell():
        placed[str(part.ep_name)] += len(part.get_nodes())
    total = sum(placed.values())
    if not placed[provider]:
        raise Unsupported(
            f"target {target.name}: not one of the {total} nodes of {model} runs on {short(provider)}; all of them "
            f"fell back to {', '.join(short(name) for name, nodes in placed.items() if nodes) or 'nothing'}",
            "What it measured would be filed under another provider than its own.",
        )
    return {"fallback_nodes": f"{total - placed[provider]} of {total}"}


def _same(found: object, asked: str) -> bool:
    """Providers write numbers and truths their own way: 1, True, 1.0."""
    truths = {"true": "1", "false": "0"}
    one, other = (truths.get(str(v).strip().lower(), str(v).strip().lower()) for v in (found, asked))
    if one == other:
        return True
    try:
        return float(one) == float(other)
    except ValueError:
        return False
