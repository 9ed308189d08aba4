"""`trial`, `final` and `verify`: assemble candidates, sit them against fp32, score them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from qsearch.contracts.candidate import Candidate
from qsearch.contracts.choices import Choice
from qsearch.contracts.limits import Limits
from qsearch.contracts.machine import Circumstances
from qsearch.contracts.measurement import Accuracy, Measurement, Sitting, Tier
from qsearch.contracts.meter import Arm
from qsearch.contracts.noise import SessionLuck
from qsearch.contracts.racing import Racing
from qsearch.contracts.target import Target
from qsearch.contracts.work import Finalist, FinalOrder, FinalResult, Materialized, TrialOrder
from qsearch.measure.latency import summarise
from qsearch.quantize.assemble import Assembled, assemble
from workers.racing import Track
from workers.scoring import accuracy, score_split
from workers.sitting import ChildMeter, Predicted, predict
from workers.slot_lock import machine_lock
from workers.splits import split_file

#: name of the reference arm in every sitting
REFERENCE = "fp32"
CANDIDATE = "candidate"
#: how long one part of a trial may say nothing, by what fp32 took for all of the search split: loading and warming
#: up an arm, and (a slow kernel can be fifty times fp32's) running or scoring the split. Beyond that it hangs.
ARM_S, ARM_SHARE = 30.0, 20.0
SPLIT_S, SPLIT_SHARE = 60.0, 50.0
#: the same where nobody has measured fp32
UNKNOWN_ARM_S, UNKNOWN_SCORING_S = 120.0, 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where a job's prepared model and data lie, and how they are scored."""

    prepared: Path
    splits: Path
    materialized: Materialized
    folder: str
    target: Target
    limits: Limits = field(default_factory=Limits)
    #: seconds that fp32 took for the search split, and for its scores; 0 = not known
    fp32_s: float = 0.0
    scoring_s: float = 0.0
    #: of candidates on the search split; None = all samples are scored
    racing: Racing | None = None

    @property
    def arm_patience_s(self) -> float:
        """How long an arm of a sitting may say nothing."""
        return arm_patience_s(self.fp32_s)

    def patience_s(self, split: str, deadline_s: float) -> float:
        """How long running a split may take; only the search split's time is known."""
        return min(deadline_s, SPLIT_S + SPLIT_SHARE * self.fp32_s) if self.fp32_s and split == "search" else deadline_s

    def scoring_patience_s(self, deadline_s: float) -> float:
        """How long scoring a split may take."""
        return SPLIT_S + SPLIT_SHARE * self.scoring_s if self.scoring_s else max(UNKNOWN_SCORING_S, deadline_s)

    def arm(self, name: str, model: Assembled) -> Arm:
        """The model as an arm over the job's latency samples."""
        return Arm(
            name=name,
            model=model.path,
            sha256=model.sha256,
            target=self.target,
            samples=self.prepared / "latency.npz",
        )

    def score(
        self,
        model: Path,
        split: str,
        reference: Accuracy | None,
        reference_outputs: Path | None,
        out: Path,
        deadline_s: float,
    ) -> tuple[Accuracy, Predicted]:
        """Run a split through a model in a child and score it; `reference_outputs` None = it is fp32."""
        samples = split_file(self.splits, split, self.target.batch)
        patience_s = self.patience_s(split, deadline_s)
        predicted = predict(model, self.target, samples, out, deadline_s=patience_s, lock=machine_lock())
        patience_s = self.scoring_patience_s(deadline_s)
        scores = score_split(
            self.materialized, self.folder, samples, out, reference_outputs or out, out.parent, patience_s=patience_s
        )
        return accuracy(scores, self.materialized, split, reference), predicted

    def race(
        self, racing: Racing, model: Path, reference: Accuracy, scratch: Path, deadline_s: float
    ) -> tuple[Accuracy, Predicted]:
        """Score a candidate on the search split in parts, as far as it is worth it."""
        track = Track(
            samples=split_file(self.splits, "search", self.target.batch),
            reference=reference,
            reference_outputs=self.prepared / "reference.npz",
            materialized=self.materialized,
            folder=self.folder,
            target=self.target,
            racing=racing,
            patience_s=self.scoring_patience_s(deadline_s),
        )
        # scoring goes on between the looks, and its time is none of the model's
        allowed_s = self.patience_s("search", deadline_s) + len(racing.looks) * track.patience_s
        return track.race(model, scratch, min(deadline_s, allowed_s))


def arm_patience_s(seen_s: float) -> float:
    """How long an arm may say nothing, by the seconds that its samples once took, loading included; 0 = not known."""
    return ARM_S + ARM_SHARE * seen_s if seen_s else UNKNOWN_ARM_S


def bench_of(order: TrialOrder | FinalOrder) -> Bench:
    """The bench an order names."""
    return Bench(
        prepared=Path(order.prepared),
        splits=Path(order.splits),
        materialized=order.materialized,
        folder=order.folder,
        target=order.target,
        fp32_s=order.fp32_s,
        scoring_s=order.scoring_s if isinstance(order, TrialOrder) else 0.0,
        limits=order.limits,
        racing=order.racing if isinstance(order, TrialOrder) else None,
    )


def fp32_like(candidate: Candidate) -> Candidate:
    """The reference over the same layers."""
    return Candidate(choices=dict.fromkeys(candidate.choices, Choice.FP32))


def trial(order: TrialOrder, scratch: Path, deadline_s: float) -> Measurement:
    """One candidate: assembled, timed against fp32 in interleaved blocks, scored on the search split."""
    bench = bench_of(order)
    clock = time.monotonic()
    fp32 = assemble(bench.prepared, fp32_like(order.candidate), scratch / "fp32")
    model = assemble(bench.prepared, order.candidate, scratch / "candidate")
    assembled_s = time.monotonic() - clock
    return measure(
        bench, fp32, model, order.reference, order.tier, order.seed, scratch, deadline_s, assembled_s, order.luck
    )


def measure(  # noqa: PLR0913, PLR0917 - what a trial is made of; a record of them would only rename it
    bench: Bench,
    fp32: Assembled,
    model: Assembled,
    reference: Accuracy,
    tier: Tier,
    seed: int,
    scratch: Path,
    deadline_s: float,
    assembled_s: float = 0.0,
    luck: Sequence[SessionLuck] = (),
) -> Measurement:
    """Sit a model file against fp32 and score it on the search split."""
    clock = time.monotonic()
    arms = [bench.arm(REFERENCE, fp32), bench.arm(CANDIDATE, model)]
    meter = ChildMeter(lock=machine_lock(), patience_s=bench.arm_patience_s, limits=bench.limits)
    sitting = meter.sit(arms, tier, seed=seed)
    sat_s = time.monotonic() - clock
    # fp32's own drop is 0 by identity, not an estimate
    same = model.sha256 == fp32.sha256
    if bench.racing is not None and bench.materialized.per_sample and not same:
        scored, predicted = bench.race(bench.racing, model.path, reference, scratch, deadline_s)
    else:
        scored, predicted = bench.score(
            model.path,
            "search",
            None if same else reference,
            bench.prepared / "reference.npz",
            scratch / "outputs.npz",
            deadline_s,
        )
    return Measurement(
        tier=tier,
        latency=summarise(sitting, CANDIDATE, luck=luck),
        accuracy=scored,
        size_bytes=model.size_bytes,
        artifact_sha256=model.sha256,
        peak_memory_bytes=peak_memory(sitting, CANDIDATE),
        circumstances=scored_under(circumstances_of(sitting, CANDIDATE), predicted),
        sitting=sitting,
        optimised_ops=predicted.float_ops,
        seconds={"assemble": assembled_s, "sit": sat_s, "score": time.monotonic() - clock - sat_s},
    )


def final(order: FinalOrder, scratch: Path, deadline_s: float) -> FinalResult:
    """fp32 and the finalists in one sitting, and all of them on the held-out split."""
    bench = bench_of(order)
    some = next(iter(order.finalists.values()))
    fp32 = assemble(bench.prepared, fp32_like(some), scratch / "fp32")
    models = {n: assemble(bench.prepared, c, scratch / f"candidate-{n}") for n, c in order.finalists.items()}
    arms = [bench.arm(REFERENCE, fp32), *(bench.arm(str(n), m) for n, m in models.items())]
    meter = ChildMeter(lock=machine_lock(), patience_s=bench.arm_patience_s, limits=bench.limits)
    sitting = meter.sit(arms, Tier.FINAL, seed=order.seed)
    outputs = scratch / "heldout-fp32.npz"
    reference, predicted = bench.score(fp32.path, "heldout", None, None, outputs, deadline_s)
    finalists = []
    for number, model in models.items():
        mine = scratch / f"heldout-{number}.npz"
        heldout, _ = bench.score(model.path, "heldout", reference, outputs, mine, deadline_s)
        # a thousand lines of text against 6 600 classes are 1.3 GB, so one finalist's at a time
        mine.unlink()
        finalists.append(_finalist(number, model, heldout, sitting, models, order.luck))
    under = scored_under(circumstances_of(sitting, REFERENCE), predicted)
    return FinalResult(finalists=tuple(finalists), sitting=sitting, circumstances=under)


def _finalist(
    number: int,
    model: Assembled,
    heldout: Accuracy,
    sitting: Sitting,
    models: Mapping[int, Assembled],
    luck: Sequence[SessionLuck],
) -> Finalist:
    others: Sequence[int] = [n for n in models if n != number]
    return Finalist(
        number=number,
        latency=summarise(sitting, str(number), luck=luck),
        versus={n: summarise(sitting, str(number), against=str(n), luck=luck) for n in others},
        heldout=heldout,
        artifact_sha256=model.sha256,
        peak_memory_bytes=peak_memory(sitting, str(number)),
    )


def peak_memory(sitting: Sitting, arm: str) -> int:
    """Largest resident memory of the arm's children, bytes."""
    return max(run.peak_rss_bytes for run in sitting.runs if run.arm == arm)


def circumstances_of(sitting: Sitting, arm: str) -> Circumstances:
    """What the arm's first child reported."""
    return next(run.circumstances for run in sitting.runs if run.arm == arm)


def scored_under(timed: Circumstances, predicted: Predicted) -> Circumstances:
    """Circumstances of a measurement: as it was timed, with the numerics class that it was scored in."""
    return replace(timed, numerics=predicted.circumstances.numerics)
