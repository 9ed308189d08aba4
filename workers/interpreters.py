"""Interpreters of other environments: whether one can measure, and what its runtime is.

NOTE: asked in two steps. The first is a line of Python that any version of it understands, so that an
interpreter which is too old, or none at all, is refused by name and not by a SyntaxError of ours. The
second starts the measuring child itself, so that what answers is what will measure.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from qsearch.contracts.errors import Unsupported, WorkFailed
from qsearch.contracts.target import Target
from qsearch.contracts.work import Probed
from qsearch.measure import wire
from workers.child_process import ChildProcess

#: oldest Python that understands the measuring child
OLDEST = (3, 11)
#: seconds for a start, and for importing a runtime from a cold disk
START_S, IMPORT_S = 20.0, 120.0

_ASK = """
import json, sys
try:
    import numpy
    found = numpy.__version__
except ImportError:
    found = ""
json.dump({"python": list(sys.version_info[:3]), "numpy": found}, sys.stdout)
"""


def python_of(target: Target) -> str:
    """The interpreter that a target's children run with."""
    return target.python or sys.executable


def probed(target: Target) -> Probed:
    """What serves a target here; asked once per interpreter, runtime and provider, while the file is the same.

    Raises:
        Unsupported: names the target, the interpreter and what is missing: the file, a Python that is new
            enough, numpy, the runtime, or the provider.
    """
    python = python_of(target)
    try:
        stamp = Path(python).stat().st_mtime_ns
    except OSError as error:
        raise Unsupported(
            f"target {target.name}: there is no interpreter {python}: {error.strerror}",
            "Give the path of its python, for example ENVIRONMENT/bin/python.",
        ) from error
    found = _asked(_Asked(python=python, runtime=target.runtime, stamp=stamp), target.name)
    if target.provider.lower() not in (name.lower() for name in found.providers):
        raise Unsupported(
            f"target {target.name}: provider {target.provider} is not in {found.runtime} of {python}; it has "
            f"{', '.join(found.providers)}",
            "Another build has it: name the interpreter of an environment with that build as runtime: {python: PATH}",
        )
    return found


def tried(
    target: Target, model: Path, samples: Path, out: Path, cpus: Sequence[int], patience_s: float = IMPORT_S
) -> wire.Message:
    """Run a model once by the target's interpreter; what the child answers within `patience_s`.

    Raises:
        WorkFailed: BAD_MODEL where its runtime refuses the model, else how the child ended.
    """
    order = wire.PredictOrder(model=str(model), target=target, samples=str(samples), out=str(out), cpus=tuple(cpus))
    with ChildProcess(model.name, python_of(target), target.threads) as child:
        return child.ask(order, patience_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    python: str
    runtime: str
    #: of the interpreter's file: another one in its place is asked anew
    stamp: int


@lru_cache(maxsize=64)
def _asked(asked: _Asked, name: str) -> Probed:
    who = f"target {name}: {asked.python}"
    _must_be_new_enough(asked.python, who)
    order = wire.RuntimeOrder(target=Target(name=name, runtime=asked.runtime))
    try:
        with ChildProcess(asked.python, asked.python, 1) as child:
            answer = child.ask(order, IMPORT_S)
    except WorkFailed as error:
        said = error.message.removeprefix(f"{asked.python}: ")
        last = error.tail.splitlines()[-1] if error.tail else ""
        raise Unsupported(
            f"{who} cannot run it: {said}{f' ({last})' if last else ''}",
            f"{asked.python} -m pip install {asked.runtime}",
        ) from error
    if not isinstance(answer, wire.RuntimeFound):
        raise Unsupported(f"{who} answered with {type(answer).__name__}", "Is it a Python interpreter?")
    return Probed(runtime=answer.runtime, python=answer.python, numpy=answer.numpy, providers=tuple(answer.providers))


def _must_be_new_enough(python: str, who: str) -> None:
    try:
        done = subprocess.run(
            # what -I says together, in the words that Python 2 knows too
            [python, "-E", "-s", "-c", _ASK],
            cwd=os.sep,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )
    except (OSError, UnicodeDecodeError) as error:
        raise Unsupported(f"{who} cannot be started: {error}", _WHICH) from error
    except subprocess.TimeoutExpired as error:
        raise Unsupported(f"{who} said nothing within {START_S:g} s", _WHICH) from error
    try:
        said = json.loads(done.stdout)
        version, numpy = tuple(said["python"]), said["numpy"]
    except (ValueError, KeyError, TypeError) as error:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["nothing"]
        raise Unsupported(
            f"{who} did not tell its version (exit code {done.returncode}); it said: {last[0][:200]}", _WHICH
        ) from error
    if version < OLDEST:
        raise Unsupported(
            f"{who} is Python {'.'.join(map(str, version))}; measuring needs {'.'.join(map(str, OLDEST))} or newer",
            "Make an environment of a newer Python with the same runtime.",
        )
    if not numpy:
        raise Unsupported(f"{who} has no numpy, which measuring needs", f"{python} -m pip install numpy")


_WHICH = "Give the path of a Python interpreter, for example ENVIRONMENT/bin/python."
