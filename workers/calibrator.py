"""The runtime that activation ranges are found with, and what a target's own runtime can run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from qsearch.contracts.choices import Choice
from qsearch.contracts.runtime import Loaded, Runtime
from qsearch.contracts.target import Target
from qsearch.measure.ort import OnnxRuntime
from qsearch.measure.runtimes import runtime_named
from workers.interpreters import probed
from workers.kernels import kernels_of


class Calibrator:
    """A target's runtime as preparing needs it: its table of kernels, and some runtime to run the float model.

    NOTE: ranges are those of the float model's tensors, which every runtime computes alike but for their last
    bits, and they are found in the worker's own process, which fetches hundreds of inner tensors. Where
    the target's runtime lies in another environment, or runs on something else than the CPU, the worker's own
    ONNX Runtime on the CPU takes its place for this. So a worker can prepare for a runtime that it does not
    have; what is measured or scored, fp32's own score included, always runs on the target's.
    """

    def __init__(self, target: Target) -> None:
        """Raises Unsupported: the target's interpreter or provider is not there, by name."""
        self._table = runtime_named(target.runtime).capabilities(target.provider)
        #: what the target's runtime was found not to run, and why
        self.notes: tuple[str, ...] = ()
        self._stands_in = _elsewhere(target)
        self._runtime: Runtime = OnnxRuntime() if self._stands_in else runtime_named(target.runtime)
        if self._stands_in:
            probed(target)
            found = kernels_of(target, self._table, self)
            self._table, self.notes = found.table, found.notes

    def version(self) -> str:
        """Of the runtime that calibrates."""
        return self._runtime.version()

    def providers(self) -> Sequence[str]:
        """Of the runtime that calibrates."""
        return self._runtime.providers()

    def capabilities(self, provider: str = "") -> Mapping[str, Sequence[Choice]]:
        """Of the target's runtime on its provider, whatever is asked."""
        return self._table

    def load(self, model: Path, target: Target, *, outputs: Sequence[str] = ()) -> Loaded:
        """See `Runtime.load`; options that mean something to the target's runtime alone are left out."""
        here = target
        if self._stands_in:
            here = replace(target, runtime="onnxruntime", provider="CPU", python="", options={}, provider_options={})
        return self._runtime.load(model, here, outputs=outputs)


def capabilities_for(target: Target) -> Mapping[str, Sequence[Choice]]:
    """ONNX operator → choices that the target's runtime has kernels for.

    Raises:
        Unsupported: the target's interpreter or provider is not there, by name.
    """
    return Calibrator(target).capabilities()


def _elsewhere(target: Target) -> bool:
    return bool(target.python) or target.provider.upper() != "CPU"
