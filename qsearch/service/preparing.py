"""What a job needs before its first trial: the model read, the splits, the prepared tensors."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from qsearch.contracts.choices import QUANTIZER
from qsearch.contracts.codec import digest_of, from_data, to_data
from qsearch.contracts.errors import InputError, JobFailed, QSearchError, UsageError
from qsearch.contracts.job import Job, JobSpec, ModelRef
from qsearch.contracts.layer import Inspection
from qsearch.contracts.target import Target
from qsearch.contracts.work import InspectOrder, Materialized, MaterializeOrder, Prepared, PrepareOrder, WorkKind
from qsearch.measure.reshape import match_axis
from qsearch.search.space import Space
from qsearch.service.workshop import Workshop
from qsearch.spec.model_file import resolve_model
from qsearch.spec.units import format_size
from qsearch.store.artifacts import ArtifactStore

Kind = TypeVar("Kind")

INSPECT_DEADLINE_S = 300.0
PREPARE_DEADLINE_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A target's prepared model and data, on disk."""

    target: Target
    materialized: Materialized
    prepared: Prepared
    splits: Path
    folder: Path
    space: Space


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """What a target's trials will run on."""

    machine_key: str
    #: name and version: "onnxruntime 1.32.0"
    runtime: str


class Preparer:
    """Inspects, materializes and prepares, each at most once for equal inputs.

    NOTE: the splits are cached per job only. The user's task code may read anything, so that nobody
    but the user knows whether two jobs' data are equal; the digest of what it wrote decides, and
    everything behind it is cached by that digest, across jobs.
    """

    def __init__(self, workshop: Workshop, artifacts: ArtifactStore) -> None:
        self._workshop = workshop
        self._artifacts = artifacts

    def inspect(self, key: str, spec: JobSpec) -> tuple[Inspection, Space]:
        """See `inspect_model`."""
        return inspect_model(self._workshop, key, spec)

    def make_ready(self, job: Job, target: Target, inspection: Inspection, where: Where) -> Ready:
        """Everything a trial on this target needs; from the artifact store where it is there already.

        NOTE: the prepared artifact holds fp32's own outcomes, so its key names whatever could change
        them: machine class, runtime and version, and the scoring. A user's scoring function is known by
        name only, and its module may import anything, so that what it scored is never shared between jobs.
        """
        materialized, splits = self._splits(job, inspection)
        key = digest_of(
            {
                "model": inspection.digest,
                "data": materialized,
                "choices": job.spec.space.choices,
                "time_input": job.spec.model.time_input,
                "target": target.digest,
                "shapes": job.spec.shapes,
                "machine": where.machine_key,
                "runtime": where.runtime,
                "scored_for": job.id if ":" in materialized.score else "",
                "quantizer": QUANTIZER,
            }
        )
        found = self._artifacts.find("prepared", key)
        if found is None:
            order = PrepareOrder(
                model=model_path(job.spec),
                splits=str(splits),
                materialized=materialized,
                folder=job.spec.folder,
                choices=job.spec.space.choices,
                target=target,
                shapes=job.spec.shapes,
            )
            result, scratch = self._workshop.do(
                WorkKind.PREPARE, f"{job.id}/prepare:{target.name}:{key[:8]}", order, target, PREPARE_DEADLINE_S
            )
            self._artifacts.adopt("prepared", key, scratch / "prepared", to_data(result))
            shutil.rmtree(scratch, ignore_errors=True)
            found = self._artifacts.find("prepared", key)
        if found is None:
            raise JobFailed("the prepared model is not in the artifact store although it was just kept")
        artifact, folder = found
        prepared = from_data(Prepared, dict(artifact.facts))
        space = Space.of(prepared.layers, job.spec.space)
        return Ready(
            target=target, materialized=materialized, prepared=prepared, splits=splits, folder=folder, space=space
        )

    def _splits(self, job: Job, inspection: Inspection) -> tuple[Materialized, Path]:
        batches = tuple(sorted({t.batch for t in job.spec.targets}))
        key = digest_of({"job": job.id, "model": inspection.digest, "batches": batches})
        found = self._artifacts.find("splits", key)
        if found is None:
            order = MaterializeOrder(
                model=model_path(job.spec),
                task=job.spec.task,
                folder=job.spec.folder,
                data=job.spec.data,
                metric=job.spec.metric,
                seed=job.spec.search.seed,
                batches=batches,
            )
            target = job.spec.targets[0]
            result, scratch = self._workshop.do(
                WorkKind.MATERIALIZE, f"{job.id}/materialize", order, target, PREPARE_DEADLINE_S
            )
            self._artifacts.adopt("splits", key, scratch / "splits", to_data(result))
            shutil.rmtree(scratch, ignore_errors=True)
            found = self._artifacts.find("splits", key)
        if found is None:
            raise JobFailed("the splits are not in the artifact store although they were just kept")
        artifact, folder = found
        return from_data(Materialized, dict(artifact.facts)), folder


def inspect_model(workshop: Workshop, key: str, spec: JobSpec) -> tuple[Inspection, Space]:
    """Read a spec's model, and refuse at once what can never be met. Writes nothing that stays.

    NOTE: whoever is about to make a job asks this first, so that a model nobody can use leaves no job
    behind; its driver asks again, because the file may have changed when its turn comes.

    Raises:
        InputError: no model, no weighted layer, a pin or a shape that matches nothing, a size below the
            smallest reachable.
    """
    target = spec.targets[0]
    order = InspectOrder(model=model_path(spec), target=target, choices=spec.space.choices)
    result, scratch = workshop.do(WorkKind.INSPECT, f"{key}/inspect", order, target, INSPECT_DEADLINE_S)
    shutil.rmtree(scratch, ignore_errors=True)
    inspection = expect(result, Inspection)
    space = Space.of(inspection.layers, spec.space)
    inputs = {t.name: (t.dtype, t.shape) for t in inspection.inputs}
    for axis in spec.shapes:
        try:
            match_axis(axis, inputs)
        except UsageError as error:
            raise InputError(error.message, error.hint) from error
    limit, smallest = spec.constraints.size_bytes, space.smallest(inspection)
    if limit is not None and limit < smallest:
        raise InputError(
            f"no candidate can be {format_size(limit)} or smaller: smallest reachable {format_size(smallest)}",
            "Raise constraints.size, or allow smaller choices in space.choices.",
        )
    return inspection, space


def model_path(spec: JobSpec) -> ModelRef:
    """The model as an absolute path; packages are looked up here, so that workers need no metadata."""
    return ModelRef(path=str(resolve_model(spec.model)), time_input=spec.model.time_input)


def expect(result: object, kind: type[Kind]) -> Kind:
    """The result as the class it must have.

    Raises:
        QSearchError: the worker answered something else; it is of another version.
    """
    if not isinstance(result, kind):
        raise QSearchError(f"a worker answered a {type(result).__name__}; expected a {kind.__name__}")
    return result
