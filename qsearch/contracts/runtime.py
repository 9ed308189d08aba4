"""The port to an inference runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from qsearch.contracts.choices import Choice
from qsearch.contracts.target import Target
from qsearch.contracts.task import Array, Feeds


class Loaded(Protocol):
    """A model in memory. Not thread-safe."""

    def inputs(self) -> Mapping[str, tuple[str, tuple[int | str | None, ...]]]:
        """Input name → (numpy dtype name, shape)."""
        ...

    def run(self, feeds: Feeds) -> Mapping[str, Array]:
        """Outputs by name. Equal feeds give equal bits on one machine_key.

        Raises:
            DataError: a wrong name, shape or type; the message says what was expected.
        """
        ...

    def threads(self) -> int:
        """Threads that one inference works in, the caller's among them, as the runtime says of this model.

        0 = its word is only what was asked for: whoever must know counts the process's threads. The others
        are told because they may start threads that sleep, which such a count would take for working ones.
        """
        ...

    def facts(self) -> Mapping[str, str]:
        """What else a reader of its numbers must know: nodes that run on another provider than was asked for."""
        ...

    def float_ops(self) -> Mapping[str, int]:
        """Nodes of the *optimised* graph by operator: what really runs, Q/DQ/Cast included.

        Where the name does not tell integer from float kernels, the precision follows a colon:
        "FullyConnected:u8". Kernels may depend on shapes, so ask after a run.
        """
        ...


class Runtime(Protocol):
    """Loads models. Importing the implementation must not import any other runtime."""

    def version(self) -> str:
        """Name and version: "onnxruntime 1.32.0"."""
        ...

    def providers(self) -> Sequence[str]:
        """What the installed build can run on, by the names that a target gives; "CPU" is always among them."""
        ...

    def capabilities(self, provider: str = "CPU") -> Mapping[str, Sequence[Choice]]:
        """ONNX operator → choices with a kernel; an operator that is absent has fp32 only.

        The table of a provider, whether this build has it or not.
        """
        ...

    def load(self, model: Path, target: Target, *, outputs: Sequence[str] = ()) -> Loaded:
        """Threads and provider exactly as the target asks, or an error.

        Args:
            model: an .onnx file; external data beside it.
            target: whose runtime this is.
            outputs: fetch these only; empty = all.

        Raises:
            ModelError: not a model, or one that this runtime refuses.
            Unsupported: a provider or option that it does not have, by name.
        """
        ...
