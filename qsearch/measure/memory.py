"""The in-memory twin of a runtime: a model is a Python function registered under a path."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qsearch.contracts.choices import AVAILABLE, Choice
from qsearch.contracts.errors import ModelError, Unsupported
from qsearch.contracts.runtime import Loaded
from qsearch.contracts.target import Target
from qsearch.contracts.task import Array, Feeds
from qsearch.measure.feeds import check_feeds


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryModel:
    """What is registered: a pure function and what it says of itself."""

    #: input name → (numpy dtype name, shape)
    inputs: Mapping[str, tuple[str, tuple[int | str | None, ...]]]
    #: feeds → all outputs by name, in a fixed order
    function: Callable[[Feeds], Mapping[str, Array]]
    outputs: tuple[str, ...]
    #: nodes by operator
    operators: Mapping[str, int] = field(default_factory=dict)


class MemoryRuntime:
    """A `Runtime` over registered functions; for tests and simulations, without any library."""

    def __init__(self, models: Mapping[Path, MemoryModel], options: Sequence[str] = ()) -> None:
        self._models, self._options = dict(models), tuple(options)

    def version(self) -> str:
        """ "memory 1"."""
        return "memory 1"

    def providers(self) -> Sequence[str]:
        """The CPU."""
        return ("CPU",)

    def capabilities(self, provider: str = "CPU") -> Mapping[str, Sequence[Choice]]:
        """As ONNX Runtime has them, so that a twin's candidates are real ones."""
        rows = (Choice.FP32, Choice.INT8_WEIGHT, Choice.INT4_WEIGHT, Choice.TERNARY)
        return {"MatMul": AVAILABLE, "Gemm": AVAILABLE, "Conv": AVAILABLE, "Gather": rows}

    def load(self, model: Path, target: Target, *, outputs: Sequence[str] = ()) -> Loaded:
        """See `Runtime.load`; the file itself is not looked at."""
        if model not in self._models:
            raise ModelError(f"{model} is not registered as a model")
        if target.provider.upper() != "CPU":
            raise Unsupported(f"target {target.name}: provider {target.provider} is not in memory 1; it has CPU")
        if target.threads < 1:
            raise Unsupported(f"target {target.name}: threads must be at least 1, found {target.threads}")
        for key in target.provider_options:
            raise Unsupported(f"target {target.name}: provider CPU has no option {key}; it reads back none")
        for key in target.options:
            if key not in self._options:
                raise Unsupported(f"target {target.name}: memory 1 has no session option {key}")
        found = self._models[model]
        unknown = [name for name in outputs if name not in found.outputs]
        if unknown:
            raise ModelError(f"{model.name} has no output {unknown[0]}; it has {', '.join(found.outputs)}")
        return _MemoryLoaded(found, target.threads, tuple(outputs) or found.outputs)


class _MemoryLoaded:
    def __init__(self, model: MemoryModel, threads: int, outputs: tuple[str, ...]) -> None:
        self._model, self._threads, self._outputs = model, threads, outputs

    def inputs(self) -> Mapping[str, tuple[str, tuple[int | str | None, ...]]]:
        return self._model.inputs

    def run(self, feeds: Feeds) -> Mapping[str, Array]:
        check_feeds(self._model.inputs, feeds)
        results = self._model.function(feeds)
        return {name: results[name] for name in self._outputs}

    def threads(self) -> int:
        """As the target asks: a function has none to be counted."""
        return self._threads

    def facts(self) -> Mapping[str, str]:
        """None."""
        return {}

    def float_ops(self) -> Mapping[str, int]:
        return self._model.operators
