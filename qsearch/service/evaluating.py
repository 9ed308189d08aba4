"""`eval`: model files and trials against a spec's fp32, on the spec's data, in one table."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qsearch.contracts.candidate import Candidate
from qsearch.contracts.choices import Choice
from qsearch.contracts.codec import digest_of
from qsearch.contracts.errors import ModelError, UsageError
from qsearch.contracts.job import Constraints, DropLimit, Job, JobSpec, SpaceSpec
from qsearch.contracts.layer import Inspection
from qsearch.contracts.measurement import Accuracy, Tier
from qsearch.contracts.target import Target
from qsearch.contracts.views import EvalView, Overrides
from qsearch.contracts.work import EvalOrder, EvalResult, WorkKind
from qsearch.measure.protocol import plan_for
from qsearch.service.exporting import export
from qsearch.service.noise import known_luck
from qsearch.service.placing import where_for
from qsearch.service.preparing import Preparer, Ready, expect, model_path
from qsearch.service.references import find_trial
from qsearch.service.torch_models import with_file
from qsearch.service.workplace import Workplace
from qsearch.spec.loading import load_spec
from qsearch.spec.overriding import override
from qsearch.store.artifacts import ArtifactStore
from qsearch.store.memory import MemoryLedger
from workers.slot_lock import LOCK_WAIT_S

#: seconds an arm may take to start, load and run once, in every session and for every split
LOADING_S = 60.0
#: a file's kernels may be so many times slower than fp32's
SLOWER = 20.0
_TRIAL = re.compile(r".+/(\d+|(best|front\[\d+\])(:.+)?)")
#: a limit of 1 % is met by 0.010000000000000002
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What `eval` is asked, resolved."""

    spec: JobSpec
    #: one of the spec's
    target: Target
    #: files as written, references as JOB/TRIAL
    models: tuple[str, ...]
    tier: Tier

    @property
    def data(self) -> Path | None:
        """The file of samples that the spec names; None where a task makes them."""
        return Path(self.spec.data.path) if self.spec.data else None


def resolve(spec: Path, models: Sequence[str], *, target: str, quick: bool) -> Asked:
    """What was typed, resolved; nothing is started.

    Args:
        spec: a job spec's file.
        models: files and trials' references.
        target: one of the spec's, or another that can be found by name; empty = the spec's only one.
        quick: one session instead of the finals' six.

    Raises:
        SpecError: every problem of the file.
        UsageError: no model, several targets and none named, or a target that is not there.
    """
    if not models:
        raise UsageError("eval needs at least one model", "qsearch eval int8.onnx @last/best --spec model.yaml")
    found, _ = load_spec(spec)
    known = {t.name: t for t in found.targets}
    if not target and len(known) > 1:
        raise UsageError(f"spec {found.name} has {len(known)} targets: {', '.join(known)}", "Name one: --target NAME")
    if target and target not in known:
        found = override(found, Overrides(targets=(target,)))
    where = known.get(target, found.targets[0])
    return Asked(spec=found, target=where, models=tuple(models), tier=Tier.QUICK if quick else Tier.FINAL)


def evaluate(place: Workplace, asked: Asked, owner: str) -> EvalView:
    """Take or make the spec's samples and fp32, export the trials, measure everything at once.

    NOTE: the samples are those of the job whose trials are evaluated, when that job was asked with the
    same model, data and target and the data's file was not written since: its task's code is not run again.
    Without such a job they are made anew, at every call, and not kept: nobody but the user knows whether that
    code still gives the same samples.

    Raises:
        ModelError: a file that is not there, not one of the files can be measured, or the spec's model has
            changed since a trial was searched.
        NotFound: a trial that is not there.
        InputError: the spec, its model or its data cannot be used.
    """
    trials = {at: find_trial(place.ledger, name, owner) for at, name in enumerate(asked.models) if _is_trial(name)}
    files = {at: _file(name) for at, name in enumerate(asked.models) if at not in trials}
    asked = replace(asked, spec=with_file(place.workshop(), asked.spec, place.artifacts))
    jobs = [job for job, _ in trials.values() if same_preparation(job.spec, asked)]
    changed = changed_since(jobs, asked)
    base = next((job for job in jobs if job.id not in changed), None)
    ready = ready_for(place, base, asked.target) if base else _anew(place, asked, owner)
    for job in jobs:
        _must_be_the_jobs_model(place, job, ready.prepared.inspection)
    files |= _exported(place, trials)
    order = _order(ready, tuple(str(files[at]) for at in sorted(files)), asked, base)
    order = replace(order, luck=known_luck(place.ledger, ready.prepared.machine.key))
    result, scratch = place.workshop().do(
        WorkKind.EVAL, "eval", order, asked.target, deadline_s(ready, len(files), asked.tier)
    )
    shutil.rmtree(scratch, ignore_errors=True)
    found, limit = expect(result, EvalResult), asked.spec.constraints.drop
    named = {at: f"{job.id}/{number}" for at, (job, number) in trials.items()}
    return EvalView(
        spec=asked.spec.name,
        target=asked.target.name,
        models=tuple(named.get(at, name) for at, name in enumerate(asked.models)),
        limit=limit,
        keeps={} if limit is None else {at: keeps(file.heldout, limit) for at, file in found.models.items()},
        result=found,
        notes=(
            *ready.materialized.notes,
            *(
                f"{asked.data} has changed since job {job}, whose trials were searched on other samples"
                for job in changed
            ),
            *_notes(place, asked, base, ready),
            *_strangers(asked, trials),
        ),
    )


def ready_for(place: Workplace, job: Job, target: Target) -> Ready:
    """The job's samples and prepared model on this machine; from the artifact store where they are there.

    Raises:
        ModelError: the model has changed since the job was prepared.
    """
    preparer = Preparer(place.workshop(), place.artifacts)
    inspection, _ = preparer.inspect(job.id, job.spec)
    _must_be_the_jobs_model(place, job, inspection)
    where = where_for(place.workshop(), place.pool.capacity(), target)
    return preparer.make_ready(job, target, inspection, where)


def deadline_s(ready: Ready, files: int, tier: Tier) -> float:
    """Seconds after which nobody waits for the answer any more: every arm at its slowest."""
    plan, arms = plan_for(tier, files + 1), files + 1
    samples = ready.materialized.samples
    share = samples.get("heldout", 1) / max(1, samples.get("search", 1))
    scoring = LOADING_S + SLOWER * ready.prepared.seconds.get("reference", 1.0) * max(1.0, share)
    loading = plan.sessions * (LOADING_S + plan.warmup_cap_s)
    return LOCK_WAIT_S + plan.cap_s + arms * (2 * scoring + loading)


def keeps(accuracy: Accuracy, limit: DropLimit) -> bool:
    """Whether the point estimate of a drop keeps the limit."""
    seen = accuracy.drop if limit.relative else accuracy.drop_points
    return seen.value <= limit.amount + _ROUNDING


def same_preparation(spec: JobSpec, asked: Asked) -> bool:
    """Whether a job's splits and fp32 are those that are asked for."""
    mine, theirs = asked.spec, spec
    names = ("task", "data", "metric", "folder", "shapes")
    return (
        model_path(mine) == model_path(theirs)
        and all(getattr(mine, name) == getattr(theirs, name) for name in names)
        and mine.search.seed == theirs.search.seed
        and any(target.digest == asked.target.digest for target in theirs.targets)
    )


def changed_since(jobs: Sequence[Job], asked: Asked) -> Sequence[str]:
    """The jobs whose samples cannot be taken for the spec's, because its file of data was written after them."""
    if asked.data is None or not asked.data.exists():
        return ()
    written = asked.data.stat().st_mtime
    return tuple(dict.fromkeys(job.id for job in jobs if job.created.timestamp() < written))


def _is_trial(name: str) -> bool:
    """A file of that name wins: a folder of exports may well be called like a job."""
    return not Path(name).expanduser().is_file() and _TRIAL.fullmatch(name) is not None


def _file(name: str) -> Path:
    path = Path(name).expanduser().resolve()
    if not path.is_file():
        raise ModelError(f"no file {path}", "Give the path of an .onnx file, or a trial: JOB/42, JOB/best.")
    return path


def _must_be_the_jobs_model(place: Workplace, job: Job, now: Inspection) -> None:
    """A trial is exported from the tensors of then; beside fp32 of another network its numbers would mean nothing."""
    for target in job.spec.targets:
        then = place.ledger.prepared(job.id, target.name)
        if then is not None and then[1].inspection.digest != now.digest:
            raise ModelError(
                f"{model_path(job.spec).path} is not the model that job {job.id} was searched with: expected SHA-256 "
                f"{then[1].inspection.digest[:12]}…, found {now.digest[:12]}…",
                "Put that file back, or search again; what was exported from the job can be evaluated as a file.",
            )


def _anew(place: Workplace, asked: Asked, owner: str) -> Ready:
    """Samples and fp32 for this command alone; they go with its scratch folder.

    NOTE: fp32 is all that is wanted, so that no layer's weights are quantized, and what the spec says of
    the search, its pins and limits, cannot refuse an evaluation.
    """
    fp32 = SpaceSpec(choices=(Choice.FP32,))
    spec = replace(asked.spec, targets=(asked.target,), space=fp32, constraints=Constraints())
    ledger = MemoryLedger()
    alone = replace(place, ledger=ledger, artifacts=ArtifactStore(place.scratch / "anew", ledger))
    return ready_for(alone, ledger.create_job(spec, "", owner), asked.target)


def _exported(place: Workplace, trials: Mapping[int, tuple[Job, int]]) -> dict[int, Path]:
    """Each trial as `export` writes it, once, however often it was named."""
    folders: dict[str, Path] = {}
    for job, number in trials.values():
        name = f"{job.id}-{number}"
        if name not in folders:
            out = place.scratch / "trials" / name
            folders[name] = Path(export(place, job, number, out, verify=False, force=False).folder)
    return {at: folders[f"{job.id}-{number}"] / "model.onnx" for at, (job, number) in trials.items()}


def _order(ready: Ready, models: tuple[str, ...], asked: Asked, base: Job | None) -> EvalOrder:
    return EvalOrder(
        prepared=str(ready.folder),
        splits=str(ready.splits),
        materialized=ready.materialized,
        folder=(base.spec if base else asked.spec).folder,
        reference=Candidate(choices={layer.id: Choice.FP32 for layer in ready.prepared.layers}),
        models=models,
        target=asked.target,
        tier=asked.tier,
        seed=int(digest_of([asked.spec.search.seed, "eval"])[:8], 16),
        limits=asked.spec.limits,
    )


def _notes(place: Workplace, asked: Asked, base: Job | None, ready: Ready) -> Sequence[str]:
    if base is None:
        return [f"the samples were made anew from spec {asked.spec.name}"]
    name = next(target.name for target in base.spec.targets if target.digest == asked.target.digest)
    then = place.ledger.prepared(base.id, name)
    if then is None or then[0].digest != ready.materialized.digest:
        return [f"the samples of job {base.id} are not stored any more; they were made anew, and are others"]
    if then[1].digest != ready.prepared.digest:
        return [f"the samples are those of job {base.id}; fp32 is the same model, prepared anew and otherwise"]
    return [f"the samples and fp32 are those of job {base.id}"]


def _strangers(asked: Asked, trials: Mapping[int, tuple[Job, int]]) -> Sequence[str]:
    others = sorted({job.id for job, _ in trials.values() if not same_preparation(job.spec, asked)})
    return [f"job {other} was searched with another model, other data or another target" for other in others]
