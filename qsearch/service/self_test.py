"""`doctor --self-test`: equal models in sitting after sitting, and what the machine makes of them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from qsearch.contracts.bench import BenchOrder, BenchResult
from qsearch.contracts.errors import ModelError, QSearchError
from qsearch.contracts.ledger import Ledger
from qsearch.contracts.measurement import Latency, Sitting, Tier
from qsearch.contracts.noise import NoiseFloor, SessionLuck
from qsearch.contracts.target import Target
from qsearch.contracts.verdict import Verdict
from qsearch.contracts.views import Check
from qsearch.contracts.work import WorkKind
from qsearch.measure.flicker import believed_flicker, unlike_floor
from qsearch.service.noise import keep_noise, known_luck
from qsearch.service.preparing import expect
from qsearch.service.workplace import Workplace
from workers.slot_lock import LOCK_WAIT_S

#: seconds for one sitting of the largest model one may think of, beside waiting for the machine
SITTING_S = 300.0
#: what was learned is of another life of the machine after so long
STALE = timedelta(days=30)
#: θ of a search; what must be added to the floor before FASTER or SLOWER is said
THETA = 0.02
#: a floor above this hides what most searches are after
POOR = 0.05
YARDSTICK = "built-in yardstick"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """What to sit."""

    targets: tuple[Target, ...]
    #: absolute path; empty = the built-in yardstick
    model: str = ""
    #: A/A sittings per target, each a screen of two sessions in fresh children
    sittings: int = 6


def self_test(place: Workplace, asked: SelfTest) -> list[Check]:
    """Sit equal models on each target, keep what they show, and say what it means.

    A target that nobody serves, or that does not run the model, is a problem of its own; the others are told.

    Raises:
        ModelError: the model is not there.
    """
    must_be_there(asked)
    checks = []
    for target in asked.targets:
        try:
            checks.append(_on(place, asked, target))
        except QSearchError as error:
            name = f"noise, {target.name}"
            checks.append(Check(name=name, status="problem", finding=error.message, advice=error.hint))
    return checks


def must_be_there(asked: SelfTest) -> None:
    """Refuse a model file that is not there, before anything is sat. Raises ModelError."""
    if asked.model and not Path(asked.model).is_file():
        raise ModelError(f"no file {asked.model}", "Give the path of an existing .onnx file with --model.")


def known_noise(ledger: Ledger, machine_key: str, now: datetime | None = None) -> Check:
    """What is stored of this class of machines; a warning when that is nothing, or old."""
    floors = ledger.noise(machine_key)
    advice = "qsearch doctor --self-test measures it, in about a minute."
    newest = {floor.runtime_key: floor for floor in reversed(floors)}
    words = [_known(luck, newest.get(luck.runtime_key)) for luck in known_luck(ledger, machine_key)]
    if not floors:
        finding = "nothing is known of this machine's own; intervals of screens rest on an assumption"
        finding = "; ".join([finding, *words])
        return Check(name="noise", status="warning", finding=finding, advice=advice)
    taken = max((floor.taken for floor in floors if floor.taken), default=None)
    old = taken is not None and (now or datetime.now(UTC)) - taken > STALE
    finding = "; ".join(words) + (f"; the newest of {taken:%Y-%m-%d}" if old else "")
    return Check(name="noise", status="warning" if old else "ok", finding=finding, advice=advice if old else "")


def _known(luck: SessionLuck, floor: NoiseFloor | None) -> str:
    words = f"{floor.runtime}: floor {_percent(floor.floor)} from {luck.sessions} A/A sessions" if floor else ""
    more = f"sittings of unlike files differ by {believed_flicker(luck):.2g} of their pairs' noise"
    told = f"{more} ({luck.repeats} repeats)" if luck.repeats else ""
    return "; ".join(part for part in (words, told) if part)


def _on(place: Workplace, asked: SelfTest, target: Target) -> Check:
    name = f"noise, {target.name}"
    sat = [_sat(place, asked, target, seed) for seed in range(asked.sittings)]
    model = Path(asked.model).name if asked.model else YARDSTICK
    floor = keep_noise(place.ledger, [sitting for sitting, _ in sat], _source(place.ledger, sat[0][0]), model)
    if floor is None:
        finding = f"telemetry rejected nearly every pair of {len(sat)} sittings"
        return Check(name=name, status="problem", finding=finding, advice="Stop other programs and repeat.")
    known = known_luck(place.ledger, floor.machine_key)
    luck = next((luck for luck in known if luck.runtime_key == floor.runtime_key), None)
    unlike = unlike_floor(floor.floor, floor.pair_sd, luck)
    return _told(name, floor, unlike, [latency.verdict for _, latency in sat])


def _sat(place: Workplace, asked: SelfTest, target: Target, seed: int) -> tuple[Sitting, Latency]:
    models = (asked.model,) * 2 if asked.model else ()
    order = BenchOrder(models=models, data="", target=target, tier=Tier.SCREEN, seed=seed)
    result, scratch = place.workshop().do(
        WorkKind.BENCH, f"self-test:{target.name}:{seed}", order, target, LOCK_WAIT_S + SITTING_S
    )
    shutil.rmtree(scratch, ignore_errors=True)
    found = expect(result, BenchResult)
    return found.sitting, found.latencies[1]


def _source(ledger: Ledger, sitting: Sitting) -> str:
    """A series of its own each time: one of a restless minute must not replace what was learned in a quiet one."""
    where = sitting.runs[0].circumstances
    kept = ledger.noise(where.machine_key, where.runtime_key)
    return f"self-test:{1 + sum(floor.source.startswith('self-test:') for floor in kept)}"


def _told(name: str, floor: NoiseFloor, unlike: float, verdicts: Sequence[Verdict]) -> Check:
    called = sum(verdict in (Verdict.FASTER, Verdict.SLOWER) for verdict in verdicts)
    polluted = verdicts.count(Verdict.POLLUTED)
    finding = (
        f"{floor.model} ({floor.median_ms:.1f} ms) against itself, {len(floor.sessions)} sessions in {floor.sittings} "
        f"sittings: sessions differ by {_percent(floor.session_sd)}, pairs by {_percent(floor.pair_sd)}; differences "
        f"below {_percent(floor.floor)} ({_percent(unlike)} between unlike files) cannot be seen in one screen here, "
        f"FASTER and SLOWER are said from about {_percent(unlike + max(THETA, unlike / 2))}"
    )
    if called:
        advice = f"{called} of {len(verdicts)} equal models were called different: something takes turns with one arm."
    elif polluted * 2 > len(verdicts):
        advice = f"{polluted} of {len(verdicts)} sittings were polluted; stop other programs."
    else:
        advice = "Stop other programs, or give more cores." if unlike > POOR else ""
    return Check(name=name, status="warning" if advice else "ok", finding=finding, advice=advice)


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
