"""`bench`: model files under one target or several, on a spec's samples, on given ones or on random ones."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qsearch.contracts.bench import BenchOrder, BenchResult
from qsearch.contracts.errors import ModelError, UsageError
from qsearch.contracts.job import JobSpec
from qsearch.contracts.limits import Limits
from qsearch.contracts.measurement import Tier
from qsearch.contracts.target import Target
from qsearch.contracts.views import BenchView
from qsearch.contracts.work import Materialized, MaterializeOrder, WorkKind
from qsearch.measure.protocol import plan_for
from qsearch.service.noise import known_luck
from qsearch.service.placing import where_for
from qsearch.service.preparing import PREPARE_DEADLINE_S, expect, model_path
from qsearch.service.starting import HERE
from qsearch.service.torch_models import with_file
from qsearch.service.workplace import Workplace
from qsearch.spec.loading import load_spec
from qsearch.spec.targets import find_target
from qsearch.spec.units import MAX_COUNT
from workers.slot_lock import LOCK_WAIT_S
from workers.splits import split_file

#: seconds an arm may take to start, load and run once, in the rehearsal and in every session
LOADING_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchAsked:
    """What `bench` is asked, resolved."""

    #: existing files, absolute
    files: tuple[Path, ...]
    #: as they were typed
    models: tuple[str, ...]
    targets: tuple[Target, ...]
    #: absolute path of an .npz; empty = none
    data: str
    #: whose samples are taken; None = nobody's
    spec: JobSpec | None
    tier: Tier
    shapes: dict[str, tuple[int, ...]]

    @property
    def arms(self) -> tuple[tuple[int, Target], ...]:
        """(number of the model, its target) of every position: the first target's arms come first."""
        return tuple((model, target) for target in self.targets for model in range(len(self.files)))


def resolve(
    models: Sequence[str], *, data: str, spec: Path | None, targets: Sequence[str], tier: Tier, shapes: Sequence[str]
) -> BenchAsked:
    """What was typed, resolved; nothing is started.

    Args:
        models: files.
        data: an .npz of arrays by input name, or empty.
        spec: a job spec whose search samples are taken, or None.
        targets: names; none = this machine, or the spec's targets where a spec is named.
        tier: how much care to take.
        shapes: "AXIS=SIZE[,SIZE]" each, an axis once or in several; they replace the spec's.

    Raises:
        UsageError: fewer than two arms, a target twice, targets of unlike batch sizes, both data and spec.
        ModelError: a file that is not there.
        NotFound: a target that is not there.
        SpecError: every problem of the spec.
    """
    if data and spec is not None:
        raise UsageError("--data and --spec both name samples", "Give one of them.")
    found = None if spec is None else load_spec(spec)[0]
    chosen = _targets(targets, found)
    if len(models) * len(chosen) < 2:
        raise UsageError(
            "bench compares: give at least two model files, or one and two targets",
            "qsearch bench fp32.onnx int8.onnx",
        )
    sizes = _shapes(shapes) or (dict(found.shapes) if found else {})
    return BenchAsked(
        files=tuple(existing_file(model) for model in models),
        models=tuple(models),
        targets=chosen,
        data=str(existing_file(data)) if data else "",
        spec=found,
        tier=tier,
        shapes=sizes,
    )


def bench(place: Workplace, asked: BenchAsked) -> BenchView:
    """Time model files, under each target, against the first of them under the first target.

    Raises:
        ModelError: fewer than two arms can be measured; says why for each.
        InputError: the spec's model, its task or the data cannot be used.
        Unsupported: this machine cannot serve a target.
    """
    for target in asked.targets:
        where_for(place.workshop(), place.pool.capacity(), target)
    samples, notes = ("", ()) if asked.spec is None else _samples(place, asked.spec, asked.targets[0])
    order = BenchOrder(
        models=tuple(str(asked.files[model]) for model, _ in asked.arms),
        data=asked.data,
        target=asked.targets[0],
        tier=asked.tier,
        seed=0,
        shapes=asked.shapes,
        targets=tuple(target for _, target in asked.arms),
        samples=samples,
        limits=asked.spec.limits if asked.spec else Limits(),
    )
    return BenchView(
        models=tuple(asked.models[model] for model, _ in asked.arms),
        targets=tuple(target.name for _, target in asked.arms),
        result=benched(place, order),
        notes=tuple(notes),
    )


def benched(place: Workplace, order: BenchOrder) -> BenchResult:
    """The order carried out, with what is known of the machine's luck; its scratch files are gone afterwards."""
    order = replace(order, luck=known_luck(place.ledger, *(slot.machine.key for slot in place.pool.capacity())))
    limit = deadline_s(len(order.models), order.tier)
    result, scratch = place.workshop().do(WorkKind.BENCH, "bench", order, order.target, limit)
    shutil.rmtree(scratch, ignore_errors=True)
    return expect(result, BenchResult)


def deadline_s(arms: int, tier: Tier) -> float:
    """Seconds after which nobody waits for the answer any more: every arm at its slowest."""
    plan = plan_for(tier, arms)
    return LOCK_WAIT_S + plan.cap_s + arms * (2 * LOADING_S + plan.sessions * (LOADING_S + plan.warmup_cap_s))


def existing_file(name: str) -> Path:
    """The absolute path of a file that is there.

    Raises:
        ModelError: it is not.
    """
    path = Path(name).expanduser().resolve()
    if not path.is_file():
        raise ModelError(f"no file {path}", "Give the path of an existing file.")
    return path


def _targets(names: Sequence[str], spec: JobSpec | None) -> tuple[Target, ...]:
    folder = Path(spec.folder) if spec is not None else Path.cwd()
    own = {target.name: target for target in spec.targets} if spec is not None else {}
    chosen: dict[str, Target] = {}
    for name in names or tuple(own) or (HERE,):
        target = own.get(name) or find_target(name, folder)
        if target.digest in chosen:
            raise UsageError(f"--target: {name} is the same target as {chosen[target.digest].name}; give one of them")
        chosen[target.digest] = target
    batches = {target.name: target.batch for target in chosen.values()}
    if len(set(batches.values())) > 1:
        words = ", ".join(f"{name} has {batch}" for name, batch in batches.items())
        raise UsageError(f"targets of one sitting need one batch size: {words}", "Bench them one after the other.")
    return tuple(chosen.values())


def _samples(place: Workplace, spec: JobSpec, target: Target) -> tuple[str, Sequence[str]]:
    """The file of the spec's search samples, made for this command alone, and what is to be said of them."""
    spec = with_file(place.workshop(), spec, place.artifacts)
    order = MaterializeOrder(
        model=model_path(spec),
        task=spec.task,
        folder=spec.folder,
        data=spec.data,
        metric=spec.metric,
        seed=spec.search.seed,
        batches=(target.batch,),
    )
    result, scratch = place.workshop().do(WorkKind.MATERIALIZE, "bench/materialize", order, target, PREPARE_DEADLINE_S)
    number = expect(result, Materialized).samples.get("search", 0)
    said = f"the inputs are of the {number} search samples of spec {spec.name}, made anew"
    return str(split_file(scratch / "splits", "search", target.batch)), [said]


def _shapes(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """All sizes of each axis, in the order in which they were typed, each once."""
    found: dict[str, tuple[int, ...]] = {}
    for axis, sizes in map(_shape, texts):
        found[axis] = tuple(dict.fromkeys((*found.get(axis, ()), *sizes)))
    return found


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    axis, equals, sizes = text.partition("=")
    try:
        found = tuple(int(s) for s in sizes.split(","))
    except ValueError:
        found = ()
    if not equals or not found or not 1 <= min(found) <= max(found) <= MAX_COUNT:
        raise UsageError(f"{text[:40]!r} is no shape", "Write AXIS=SIZE[,SIZE...], for example sequence=32,128")
    return axis, found
