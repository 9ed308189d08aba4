"""ONNX Runtime behind the `Runtime` port."""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from qsearch.contracts.causes import Cause
from qsearch.contracts.choices import Choice
from qsearch.contracts.errors import DataError, ModelError, QSearchError, Unsupported, WorkFailed
from qsearch.contracts.runtime import Loaded
from qsearch.contracts.target import Target
from qsearch.contracts.task import Array, Feeds
from qsearch.measure.feeds import check_feeds
from qsearch.measure.full_disk import full_disk_named
from qsearch.measure.optimised import count_operators
from qsearch.measure.ort_providers import (
    CPU,
    RECORD,
    assignment_of,
    capabilities_of,
    must_be_used,
    provider_named,
    short,
)

#: Session entries set for every model unless the target says otherwise; part of the runtime key.
#: NOTE: a pool that spins after a run steals time from the other arm, so it stops, in all arms alike.
SETTINGS: Mapping[str, str] = MappingProxyType({"session.force_spinning_stop": "1"})
#: Session entries that the target says in its own words, so that they cannot contradict each other.
_OWNED = {
    "session.intra_op_num_threads": "threads",
    "session.inter_op_num_threads": "threads",
    "session.execution_mode": "threads",
    "session.use_per_session_threads": "threads",
    "session.optimized_model_filepath": "nothing: QSearch writes that file itself when it needs it",
    RECORD: "nothing: QSearch sets it where it needs it",
}
_ERRORS_ONLY = 3
#: NOTE: from 1.29 on the official builds send what they run to their maker unless this is set before they are
#: imported, and keep a thread and a database for it, in the very process that is timed. Whoever wants that
#: sets it to something else.
QUIET = ("ORT_DISABLE_TELEMETRY", "1")
_DTYPES = {
    "float": "float32", "double": "float64", "bool": "bool", "string": "str", "float16": "float16",
    "bfloat16": "bfloat16", "int8": "int8", "int16": "int16", "int32": "int32", "int64": "int64",
    "uint8": "uint8", "uint16": "uint16", "uint32": "uint32", "uint64": "uint64",
}  # fmt: skip


class OnnxRuntime:
    """Loads .onnx files with ONNX Runtime. Importing this module does not import it; the first call does.

    One operator at a time, each with exactly `target.threads` threads (the measuring child counts them:
    the session's options would only read back what was set); all graph optimisations on.
    Deterministic for equal feeds on one machine_key.
    """

    def version(self) -> str:
        """ "onnxruntime 1.32.0"."""
        return f"onnxruntime {_ort().__version__}"

    def providers(self) -> Sequence[str]:
        """Of the installed build."""
        return tuple(short(str(name)) for name in _ort().get_available_providers())

    def capabilities(self, provider: str = "CPU") -> Mapping[str, Sequence[Choice]]:
        """ONNX operator → choices with a kernel."""
        return capabilities_of(provider)

    def load(self, model: Path, target: Target, *, outputs: Sequence[str] = ()) -> Loaded:
        """See `Runtime.load`. WorkFailed(OUT_OF_MEMORY) when the model does not fit."""
        if not model.is_file():
            raise ModelError(f"{model} is not there")
        provider = _provider(target)
        session = _session(model, _options(target, record=provider != CPU), target, provider)
        facts = assignment_of(session, target, provider, model.name)
        names = [output.name for output in session.get_outputs()]
        unknown = [name for name in outputs if name not in names]
        if unknown:
            raise ModelError(f"{model.name} has no output {unknown[0]}; it has {', '.join(names)}")
        return _OrtModel(session, model, target, list(outputs) or names, facts)


class _OrtModel:
    """A session. `Loaded` says what it promises."""

    def __init__(self, session: Any, model: Path, target: Target, outputs: list[str], facts: Mapping[str, str]) -> None:
        self._session, self._model, self._target, self._outputs = session, model, target, outputs
        self._facts = facts

    def inputs(self) -> Mapping[str, tuple[str, tuple[int | str | None, ...]]]:
        return {
            i.name: (_dtype(i.type), tuple(d if isinstance(d, int) else d or None for d in i.shape))
            for i in self._session.get_inputs()
        }

    def run(self, feeds: Feeds) -> Mapping[str, Array]:
        # Feeds are looked at only after a refusal: this is the call that is timed.
        try:
            return dict(zip(self._outputs, self._session.run(self._outputs, feeds), strict=True))
        except _refusals() as error:
            raise self._explain(feeds, error) from error

    def threads(self) -> int:
        """0: a session's options read back what was set."""
        return 0

    def facts(self) -> Mapping[str, str]:
        """`fallback_nodes`, where the provider is another one than the CPU."""
        return self._facts

    def float_ops(self) -> Mapping[str, int]:
        """Loads the model a second time and has the runtime write what it made of it; not for a timed child."""
        with tempfile.TemporaryDirectory(prefix="qsearch-") as folder, full_disk_named(Path(folder)):
            file = Path(folder) / "optimised.onnx"
            options = _options(self._target)
            options.optimized_model_filepath = str(file)
            # Weights go beside the file: protobuf ends at 2 GiB, and nobody reads them.
            options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights")
            entry = "session.optimized_model_external_initializers_min_size_in_bytes"
            options.add_session_config_entry(entry, "1024")
            _session(self._model, options, self._target, _provider(self._target))
            return count_operators(file)

    def _explain(self, feeds: Feeds, error: Exception) -> QSearchError:
        if _lacks_memory(error):
            return WorkFailed(Cause.OUT_OF_MEMORY, f"{self._model.name} ran out of memory: {_words(error)}")
        try:
            check_feeds(self.inputs(), feeds)
        except DataError as wrong:
            return wrong
        return ModelError(f"{self._model.name} loaded, and failed when run: {_words(error)}")


def _options(target: Target, *, record: bool = False) -> Any:
    if target.threads < 1:
        raise Unsupported(f"target {target.name}: threads must be at least 1, found {target.threads}")
    options = _ort().SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = target.threads
    options.inter_op_num_threads = 1
    options.execution_mode = _ort().ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = _ort().GraphOptimizationLevel.ORT_ENABLE_ALL
    for key, value in {**SETTINGS, **target.options}.items():
        if key in target.options:
            _refuse_option(target, key)
        try:
            options.add_session_config_entry(key, value)
        except _refusals() as error:
            raise Unsupported(f"target {target.name}: option {key}={value}: {_words(error)}") from error
    if record and _knows(RECORD):
        options.add_session_config_entry(RECORD, "1")
    return options


def _refuse_option(target: Target, key: str) -> None:
    if key in _OWNED:
        raise Unsupported(f"target {target.name}: option {key} cannot be set; use {_OWNED[key]}")
    if "." not in key or not _knows(key):
        version = _ort().__version__
        raise Unsupported(
            f"target {target.name}: ONNX Runtime {version} has no session option {key}",
            "It would have been ignored in silence. Look for the spelling in onnxruntime_session_options_config_keys.h",
        )


@cache
def _knows(key: str) -> bool:
    """Whether the runtime's binary holds the key.

    NOTE: ONNX Runtime accepts every key and reads only those it knows, so a misspelt one would be
    ignored in silence. A key that is not among its strings is certainly not read.
    """
    folder = Path(_ort().__file__).parent / "capi"
    for library in sorted(folder.glob("*.so*")):
        with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data.find(key.encode() + b"\0") >= 0:
                return True
    return False


def _provider(target: Target) -> str:
    return provider_named(target, [str(name) for name in _ort().get_available_providers()])


def _session(model: Path, options: Any, target: Target, provider: str) -> Any:
    asked = (provider, dict(target.provider_options)) if target.provider_options else provider
    try:
        session = _ort().InferenceSession(str(model), options, providers=[asked])
    except _refusals() as error:
        if _lacks_memory(error):
            raise WorkFailed(Cause.OUT_OF_MEMORY, f"{model.name} does not fit in memory: {_words(error)}") from error
        raise ModelError(
            f"ONNX Runtime refuses {model.name}: {_words(error)}", "Is it a complete .onnx file?"
        ) from error
    must_be_used(session, target, provider)
    return session


@cache
def _ort() -> Any:
    os.environ.setdefault(*QUIET)
    try:
        import onnxruntime
    except ImportError as error:
        hint = f"{sys.executable} -m pip install onnxruntime"
        raise Unsupported(f"runtime onnxruntime cannot be imported: {error}", hint) from error
    onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
    return onnxruntime


@cache
def _refusals() -> tuple[type[Exception], ...]:
    """Every class ONNX Runtime raises; they have no common root but Exception."""
    state = _ort().capi.onnxruntime_pybind11_state
    own = [c for c in vars(state).values() if isinstance(c, type) and issubclass(c, Exception)]
    return (*own, RuntimeError, ValueError, TypeError, MemoryError)


def _lacks_memory(error: Exception) -> bool:
    said = str(error).lower()
    return isinstance(error, MemoryError) or "bad_alloc" in said or "failed to allocate memory" in said


def _words(error: Exception) -> str:
    """The runtime's own reason, on one line, without the code it puts before."""
    said = " ".join(str(error).split())
    return said.rpartition("[ONNXRuntimeError] : ")[2][:300]


def _dtype(kind: str) -> str:
    inner = kind.removeprefix("tensor(").removesuffix(")")
    return _DTYPES.get(inner, kind)
