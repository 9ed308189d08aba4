"""OpenVINO's properties: those set for every model, those of the target, and whether they were honoured."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from qsearch.contracts.errors import Unsupported
from qsearch.contracts.target import Target
from qsearch.measure.ov_package import openvino, refusals, words

DEVICE = "CPU"
_THREADS, _STREAMS, _PRECISION = "INFERENCE_NUM_THREADS", "NUM_STREAMS", "INFERENCE_PRECISION_HINT"
#: Set for every model.
#: NOTE: on a CPU with bfloat16 OpenVINO computes fp32 models in it unless told otherwise, and then
#: fp32 would be no reference. The precision is the one of these that a target may set itself.
_ALWAYS = {"PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": "NO", _PRECISION: "f32"}
_ONE_AT_A_TIME = "nothing: one inference at a time is what is measured"
_PINNED = "nothing: the measuring child is pinned to its CPUs"
#: Properties that the target says in its own words, or that would change what is measured.
_OWNED = {
    _THREADS: "threads",
    "DEVICE_ID": "provider",
    "PERFORMANCE_HINT": _ONE_AT_A_TIME,
    "PERFORMANCE_HINT_NUM_REQUESTS": _ONE_AT_A_TIME,
    _STREAMS: _ONE_AT_A_TIME,
    "ENABLE_CPU_PINNING": _PINNED,
    "ENABLE_CPU_RESERVATION": _PINNED,
    # with one thread it reads back as asked for and moves nothing
    "SCHEDULING_CORE_TYPE": _PINNED,
    "CACHE_DIR": "nothing: a model is always compiled from its own file",
    "PERF_COUNT": "nothing: counting would slow down what is timed",
}
#: values of the precision that leave it to the machine
_ANY_PRECISION = ("undefined", "dynamic")


def settings(target: Target) -> Mapping[str, str]:
    """Every property that is set for a target besides its own options; part of the runtime key.

    One stream of so many threads; for one thread no stream at all, which runs in the caller's thread.

    NOTE: OpenVINO 2026.4 loses every error of a synchronous inference in a stream of one thread: an
    operator without a kernel, or too little memory, and the request returns without a word, with
    empty outputs or those of the run before. Without a stream the same kernels run, it raises, and
    no thread is started.
    """
    if target.threads == 1:
        return {**_ALWAYS, _STREAMS: "0"}
    return {**_ALWAYS, _STREAMS: "1", _THREADS: str(target.threads)}


def ready_core(target: Target) -> Any:
    """A Core of its own with every property set; nothing of it reaches another model.

    Raises:
        Unsupported: a provider, a number of threads, a property or a value that cannot be had, by name.
    """
    if target.provider.upper() != DEVICE:
        raise Unsupported(
            f"target {target.name}: provider {target.provider} is not one that QSearch drives OpenVINO on; it has CPU"
        )
    if target.provider_options:
        raise Unsupported(
            f"target {target.name}: OpenVINO has no provider options: {', '.join(target.provider_options)}",
            "Its properties are written under options.",
        )
    if target.threads < 1:
        raise Unsupported(f"target {target.name}: threads must be at least 1, found {target.threads}")
    core = openvino().Core()
    for key in target.options:
        _refuse_option(target, key, core)
    for key, value in {**settings(target), **target.options}.items():
        try:
            core.set_property(DEVICE, {key: value})
        except refusals() as error:
            raise Unsupported(f"target {target.name}: option {key}={value}: {words(error)}") from error
    return core


def must_be_honoured(core: Any, compiled: Any, target: Target) -> None:
    """Read back from a compiled model what OpenVINO lowers in silence.

    NOTE: it takes fewer threads than asked for where it finds fewer CPUs, float32 where the CPU lacks
    the precision asked for, and with two threads on two hyper-threads forgets ENABLE_HYPER_THREADING; the
    compiled model tells what it got. What it tells nothing of (ENABLE_WEIGHTLESS) is refused.

    Args:
        core: the one of `ready_core` that compiled it; it knows what the options' texts mean.
        compiled: the model.
        target: the one both were made for.

    Raises:
        Unsupported: other threads, another precision or another option than the target asks for, or an
            option that cannot be read back, by name.
    """
    threads = threads_of(compiled)
    if threads != target.threads:
        raise Unsupported(
            f"target {target.name} asks for {target.threads} threads; OpenVINO runs with {threads} here",
            "It gives one thread to a CPU of this process. Ask for fewer threads.",
        )
    asked = target.options.get(_PRECISION, _ALWAYS[_PRECISION])
    found = compiled.get_property(_PRECISION).to_string()
    if found != asked and asked not in _ANY_PRECISION:
        raise Unsupported(f"target {target.name}: option {_PRECISION}={asked}: this CPU computes in {found} instead")
    for key in target.options:
        if key != _PRECISION:
            _must_read_back(core, compiled, target, key)


def threads_of(compiled: Any) -> int:
    """Threads that a compiled model's inference works in; without a stream it is the caller's alone."""
    return int(compiled.get_property(_THREADS)) if compiled.get_property(_STREAMS) else 1


def _must_read_back(core: Any, compiled: Any, target: Target, key: str) -> None:
    option = f"target {target.name}: option {key}={target.options[key]}"
    try:
        found = compiled.get_property(key)
    except refusals() as error:
        raise Unsupported(
            f"{option}: a compiled model does not tell whether it has it: {words(error)}", "Leave it out."
        ) from error
    if found != core.get_property(DEVICE, key):
        raise Unsupported(f"{option} is not honoured here: the compiled model has {found}", "Leave it out.")


def _refuse_option(target: Target, key: str, core: Any) -> None:
    if key in _OWNED:
        raise Unsupported(f"target {target.name}: option {key} cannot be set; use {_OWNED[key]}")
    known = [name for name, access in core.get_property(DEVICE, "SUPPORTED_PROPERTIES").items() if access == "RW"]
    if key not in known:
        near = get_close_matches(key.upper(), known, n=1, cutoff=0.6)
        raise Unsupported(
            f"target {target.name}: OpenVINO's CPU has no property {key}",
            f"Did you mean {near[0]}?" if near else f"It has {', '.join(sorted(set(known).difference(_OWNED)))}.",
        )
