"""A job spec's file to a `JobSpec`, or everything that is wrong with it at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qsearch.contracts.errors import SpecError
from qsearch.contracts.job import Constraints, DataRef, JobSpec, SearchSpec, SpaceSpec
from qsearch.contracts.target import Target
from qsearch.contracts.views import Overrides
from qsearch.spec.limits import to_limits
from qsearch.spec.naming import name_from
from qsearch.spec.overriding import override
from qsearch.spec.targets import find_target, to_target

if TYPE_CHECKING:
    from qsearch.spec.document import SpecDocument


def load_spec(path: Path, overrides: Overrides | None = None) -> tuple[JobSpec, str]:
    """The job that a YAML file asks for, resolved, and the file's text.

    Paths are absolute, targets are looked up, defaults are filled in, flags are applied. The model's
    and the data's files are there, but were not opened; the task's code was not imported.

    Raises:
        SpecError: every problem of the file at once, each with its place.
        UsageError: a flag in `overrides` that means nothing; names the flag.
    """
    from qsearch.spec.checks import check_spec
    from qsearch.spec.complaints import in_order, read_document
    from qsearch.spec.document import SpecDocument
    from qsearch.spec.tree import read_tree

    tree, text = read_tree(path)
    folder = path.absolute().parent
    document, problems = read_document(SpecDocument, tree)
    problems = [*tree.problems, *problems, *check_spec(tree, folder)]
    if document is None or problems:
        raise SpecError(str(path), in_order(problems))
    spec = _resolved(document, folder, path.stem)
    return (spec if overrides is None else override(spec, overrides)), text


def _resolved(document: SpecDocument, folder: Path, stem: str) -> JobSpec:
    from qsearch.spec.checks import absolute, model_reference

    data = document.data
    search = document.search
    return JobSpec(
        name=document.name or name_from(stem),
        model=model_reference(document.model.model_dump(exclude_none=True), folder),
        task=document.task or "",
        data=DataRef(path=absolute(data.path, folder), splits=data.splits) if data else None,
        metric=document.metric or "",
        objectives=tuple(document.objectives),
        constraints=_constraints(document),
        targets=tuple(_target(entry, folder) for entry in document.targets),
        shapes={} if isinstance(document.shapes, str) else {k: tuple(v) for k, v in document.shapes.items()},
        space=SpaceSpec(choices=tuple(document.space.choices), pin=dict(document.space.pin)),
        search=SearchSpec(
            trials=search.trials,
            time_s=search.time,
            seed=search.seed,
            sampler=search.sampler,
            finalists=search.finalists,
            racing=search.racing,
        ),
        precision=document.precision,
        limits=to_limits(document.measurement),
        folder=str(folder),
    )


def _constraints(document: SpecDocument) -> Constraints:
    asked = document.constraints
    return Constraints(drop=asked.drop, size_bytes=asked.size, memory_bytes=asked.memory, latency_ms=asked.latency)


def _target(entry: object, folder: Path) -> Target:
    from qsearch.spec.document import TargetDocument

    return to_target(entry, folder=folder) if isinstance(entry, TargetDocument) else find_target(str(entry), folder)
