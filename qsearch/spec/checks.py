"""What no single key shows: keys that exclude each other, files that must be there, targets by name.

NOTE: these look at the plain data, not at the validated document, so that one run names every
problem: a document with one wrong key has no validated form.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from qsearch.contracts.choices import TIMED
from qsearch.contracts.errors import ModelError, NotFound, Problem, SpecError
from qsearch.contracts.job import ModelRef
from qsearch.contracts.target import Target
from qsearch.spec.limits import to_limits
from qsearch.spec.model_file import find_in_package, resolve_model
from qsearch.spec.targets import find_target
from qsearch.spec.tree import Tree

#: suffix of a file of named arrays
DATA_SUFFIX = ".npz"

Check = Callable[[Tree, Path], Iterator[Problem]]


def check_spec(tree: Tree, folder: Path) -> list[Problem]:
    """Every problem that concerns more than one key, or something outside of the file.

    Args:
        folder: the spec's folder, absolute.
    """
    return [problem for check in _CHECKS for problem in check(tree, folder)]


def model_reference(model: dict[str, Any], folder: Path) -> ModelRef:
    """The resolved reference of a `model` mapping.

    Raises:
        ModelError: there is no such file.
    """
    time_input = model.get("time_input") or ""
    if model.get("package"):
        file, _ = find_in_package(model["package"], model["file"])
        return ModelRef(package=model["package"], file=file, time_input=time_input)
    if model.get("torch"):
        return ModelRef(torch=model["torch"], time_input=time_input)
    reference = ModelRef(path=absolute(model["path"], folder), time_input=time_input)
    resolve_model(reference)
    return reference


def absolute(path: str, folder: Path) -> str:
    """A path of a spec as an absolute one; `~` is the user's home."""
    return os.path.abspath(folder / os.path.expanduser(path))


def _samples_come_from_one_place(tree: Tree, _: Path) -> Iterator[Problem]:
    task, data = tree.data.get("task"), tree.data.get("data")
    if task is None and data is None:
        message = "data is missing: give `data: {path: samples.npz}`, or `task: module:function`"
        yield Problem("", message, *tree.place((), of_key=True))
    elif task is not None and data is not None:
        yield tree.problem(("data",), "expected one of task and data, found both; remove one", of_key=True)
    metric = tree.data.get("metric")
    if task is None and isinstance(metric, str) and ":" in metric:
        yield tree.problem(("metric",), "a function of your own needs a task; with data, name a built-in metric")


def _model_is_there(tree: Tree, folder: Path) -> Iterator[Problem]:
    model = tree.data.get("model")
    if not isinstance(model, dict) or any(value is not None and not isinstance(value, str) for value in model.values()):
        return
    path, package, file = (model.get(key) or "" for key in ("path", "package", "file"))
    torch = model.get("torch") or ""
    if torch and (path or package or file):
        yield tree.problem(("model",), "expected torch alone, found path or package beside it", of_key=True)
    elif path and (package or file):
        yield tree.problem(("model",), "expected path, or package and file, found both", of_key=True)
    elif bool(package) != bool(file):
        has, lacks = ("package", "file") if package else ("file", "package")
        yield tree.problem(("model", has), f"expected {lacks} beside {has}", of_key=True)
    elif not path and not package and not torch:
        yield tree.problem(("model",), "expected path, package and file, or torch, found none", of_key=True)
    elif path or package:
        try:
            model_reference(model, folder)
        except ModelError as error:
            hint = f". {error.hint}" if error.hint else ""
            yield tree.problem(("model", "file" if package else "path"), f"{error.message}{hint}")


def _data_is_there(tree: Tree, folder: Path) -> Iterator[Problem]:
    data = tree.data.get("data")
    path = data.get("path") if isinstance(data, dict) else None
    if not isinstance(path, str) or not path:
        return
    whole = Path(absolute(path, folder))
    if not whole.is_file():
        found = "found a folder" if whole.is_dir() else "no such file"
        yield tree.problem(("data", "path"), f"{found}: {whole}")
    elif whole.suffix != DATA_SUFFIX:
        yield tree.problem(("data", "path"), f"expected a file written by numpy.savez (.npz), found {whole.name}")


def _targets_are_known(tree: Tree, folder: Path) -> Iterator[Problem]:
    entries = tree.data.get("targets")
    seen: dict[str, int] = {}
    for i, entry in enumerate(entries if isinstance(entries, list) else []):
        try:
            target = _target(entry, folder)
        except NotFound as error:
            yield tree.problem(("targets", i), error.message)
            continue
        except SpecError as error:
            yield tree.problem(("targets", i), f"the target's file is wrong: {error.message.splitlines()[0]}")
            continue
        if target is not None and target.python and not os.access(target.python, os.X_OK):
            there = "cannot be executed" if os.path.exists(target.python) else "is not there"
            yield tree.problem(("targets", i), f"the interpreter {target.python} {there}")
        elif target is not None and os.path.isdir(target.python):
            yield tree.problem(("targets", i), f"{target.python} is a folder; expected its interpreter, bin/python")
        for key in (target.digest, target.name) if target else ():
            if key in seen:
                yield tree.problem(("targets", i), f"the same target as targets[{seen[key]}]; remove one")
                break
            seen[key] = i


def _target(entry: Any, folder: Path) -> Target | None:
    """The target of an entry; None when the entry itself is wrong, which is told elsewhere."""
    from qsearch.spec.complaints import read_document
    from qsearch.spec.document import TargetDocument
    from qsearch.spec.targets import to_target

    if isinstance(entry, str) and entry:
        return find_target(entry, folder)
    document, _ = read_document(TargetDocument, Tree("", entry)) if isinstance(entry, dict) else (None, [])
    return None if document is None else to_target(document, folder=folder)


def _pins_are_choices(tree: Tree, _: Path) -> Iterator[Problem]:
    space = tree.data.get("space")
    choices, pins = (space.get(key) for key in ("choices", "pin")) if isinstance(space, dict) else (None, None)
    if not isinstance(choices, list) or not isinstance(pins, dict):
        return
    for pattern, choice in pins.items():
        if isinstance(choice, str) and choice not in choices:
            yield tree.problem(("space", "pin", pattern), f"{choice} is not among space.choices; add it there")


def _timed_choices_have_a_time(tree: Tree, _: Path) -> Iterator[Problem]:
    model, space = tree.data.get("model"), tree.data.get("space")
    choices = space.get("choices") if isinstance(space, dict) else None
    if not isinstance(model, dict) or not isinstance(choices, list) or model.get("time_input"):
        return
    for choice in (c for c in choices if isinstance(c, str) and c in TIMED):
        message = (
            f"{choice} needs model.time_input, the model's input that tells its step; add it, or leave {choice} out"
        )
        yield tree.problem(("space", "choices"), message)


def _flags_come_before_rejections(tree: Tree, _: Path) -> Iterator[Problem]:
    from qsearch.spec.complaints import read_document
    from qsearch.spec.document import MeasurementDocument

    given = tree.data.get("measurement")
    document, _problems = read_document(MeasurementDocument, Tree("", given)) if isinstance(given, dict) else (None, [])
    if document is None:
        return
    limits = to_limits(document)
    for name in document.flag.model_fields_set:
        flag, reject = getattr(limits.flag, name), getattr(limits.reject, name)
        if flag is not None and reject is not None and flag > reject:
            yield tree.problem(("measurement", "flag", name), "flags only above what is rejected already; lower it")


_CHECKS: tuple[Check, ...] = (
    _samples_come_from_one_place,
    _model_is_there,
    _data_is_there,
    _targets_are_known,
    _pins_are_choices,
    _timed_choices_have_a_time,
    _flags_come_before_rejections,
)
