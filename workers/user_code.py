"""The child that runs the user's own code: the task once per job, the scoring function per trial.

`python -m workers.user_code` answers one JSON line per JSON line. Requests:

    {"do": "materialize", "task": "module:function", "folder": DIR, "batches": [1], "out": DIR}
    {"do": "score", "score": "module:function", "folder": DIR, "samples": NPZ, "outputs": NPZ, "out": NPZ}

NOTE: user code is arbitrary code. It gets a process of its own, in the job's folder, with no open
database and without QSearch's and Ray's settings in its environment, and everything it prints goes to
stderr: only the answers use the real stdout. The job's folder comes onto the import path with the first
request, when everything of ours has been imported: a numpy.py there shadows nothing that we use.
"""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from qsearch.contracts.errors import TaskError
from qsearch.contracts.task import Scores, Task
from qsearch.measure.samples import read_samples
from workers.sitting import read_outputs
from workers.splits import write_splits
from workers.stdout import guarded_stdout


def main() -> None:
    """Serve requests until stdin closes."""
    answers = guarded_stdout()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = _DEEDS[request["do"]](request)
        except KeyboardInterrupt:
            return
        except BaseException as error:  # noqa: BLE001 - user code may raise anything, SystemExit included
            answer = {"error": _story(error, request.get("folder", "")), "tail": traceback.format_exc()[-4000:]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def materialize(request: dict[str, Any]) -> dict[str, Any]:
    """Call the task function and write its three splits for each batch size."""
    task = _named(request["task"], request["folder"])()
    if not isinstance(task, Task):
        raise TaskError(f"{request['task']} returned {type(task).__name__}; expected qsearch.contracts.task.Task")
    digest = write_splits(task, tuple(request["batches"]), Path(request["out"]))
    return {
        "digest": digest,
        "metric": task.metric,
        "higher_is_better": task.higher_is_better,
        "score": task.score if isinstance(task.score, str) else _name_of(task.score),
        "samples": {name: len(getattr(task, name).samples) for name in ("calibration", "search", "heldout")},
    }


def score(request: dict[str, Any]) -> dict[str, Any]:
    """Call the scoring function on outputs and labels and write its per-sample outcomes."""
    function = _named(request["score"], request["folder"])
    outputs = read_outputs(Path(request["outputs"]))
    scores = function(outputs, read_samples(Path(request["samples"])).labels)
    if not isinstance(scores, Scores):
        scores = Scores(outcomes=np.asarray(scores, dtype=np.float64))
    outcomes = np.asarray(scores.outcomes, dtype=np.float64)
    if outcomes.ndim != 1 or not len(outcomes):
        raise TaskError(f"{request['score']} returned outcomes of shape {outcomes.shape}; expected [m], m ≥ 1")
    weights = np.ones(0) if scores.weights is None else np.asarray(scores.weights, dtype=np.float64)
    np.savez(request["out"], outcomes=outcomes, weights=weights)
    return {"n": len(outcomes)}


_DEEDS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"materialize": materialize, "score": score}


def _named(name: str, folder: str) -> Callable[..., Any]:
    module_name, _, function_name = name.partition(":")
    if folder and folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and module_name.startswith(error.name):
            raise TaskError(f"no module {error.name!r} beside the spec ({folder}) or installed") from error
        raise
    function = getattr(module, function_name, None)
    if not callable(function):
        raise TaskError(f"module {module_name!r} has no function {function_name!r}")
    return function  # type: ignore[no-any-return]


def _name_of(function: Callable[..., Any]) -> str:
    name = f"{function.__module__}:{function.__qualname__}"
    if "<" in name:
        raise TaskError(f"the scoring function {name} is local; make it a function at the top of its module")
    return name


def _story(error: BaseException, folder: str) -> str:
    """One line: what was raised and where in the user's code."""
    if isinstance(error, TaskError):
        return error.message
    frames = traceback.extract_tb(error.__traceback__)
    mine = [f for f in frames if folder and f.filename.startswith(folder)] or frames
    where = f" at {Path(mine[-1].filename).name}:{mine[-1].lineno}" if mine else ""
    return f"{type(error).__name__}: {error}{where}"


if __name__ == "__main__":
    main()
