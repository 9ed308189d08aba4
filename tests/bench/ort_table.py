"""What was evaluated, with how it was made: rows, one table, and the pick against the best of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from qsearch.contracts.measurement import Latency, Sitting
from qsearch.contracts.verdict import Verdict
from qsearch.contracts.views import EvalView
from qsearch.contracts.work import Evaluated
from qsearch.measure.latency import summarise
from qsearch.report.answer import Line, Table
from qsearch.report.evaluation import polluted, ranked
from qsearch.report.numbers import NOTHING, drop_of, duration, milliseconds, percent, size, speedup, speedup_of
from tests.bench.harness import Found, Goal

OURS, THEIRS = "QSearch", "ONNX Runtime"
#: name of fp32's arm in the sitting
FP32 = "fp32"
_RATIO = "time of theirs / time of the pick"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the comparison, before it is measured."""

    by: str
    what: str
    #: what `eval` is given: a file, or JOB/TRIAL; empty when there is none
    model: str = ""
    #: operators that are, or may be, quantized
    op_types: str
    #: scale of weights: one per output channel, or one per tensor
    per_channel: bool
    preprocessing: str
    #: the job's own answer
    pick: bool = False
    #: why there is no file
    error: str = ""


def found_of(entries: Sequence[Entry], view: EvalView) -> Found:
    """Rows as plain data in the order of the table, and the goals.

    Args:
        entries: all of them; those without an error are the positions of the view, in order.
        view: what `eval` answered.
    """
    rows = [_fp32_row(view), *(_row(entry, position, view) for entry, position in _ordered(entries, view))]
    duel = _duel(entries, view)
    return Found(rows=[*rows, duel], goals=_goals(entries, view, duel))


def table_of(entries: Sequence[Entry], view: EvalView) -> Table:
    """The same for people."""
    seen = view.result.reference.heldout
    columns = (
        "by", "what", "op types", "per channel", "preprocessing", "speed-up over fp32", "p50",
        f"drop, n={seen.n} held out", seen.metric, "size", "remarks",
    )  # fmt: skip
    first = (
        "–", "fp32", "", "", "", NOTHING, milliseconds(_reference_ms(view)), NOTHING, f"{seen.score:.4g}",
        size(view.result.reference.size_bytes), "the reference",
    )  # fmt: skip
    lines = [Line(cells=first), *(_line(entry, at, view) for entry, at in _ordered(entries, view))]
    sitting = view.result.sitting
    sessions = len({block.session for block in sitting.blocks})
    notes = (
        f"{view.spec} on {view.target}: one sitting of {sessions} sessions (tier {sitting.tier.value}), "
        f"{duration(sitting.seconds)}, {view.result.circumstances.runtime}; intervals at 95 %; limit "
        f"{view.limit or 'none'} by the point estimate of the held-out drop.",
        _duel_words(_duel(entries, view)),
        *view.notes,
    )
    return Table(columns=columns, lines=tuple(lines), notes=notes, right=frozenset(columns[5:7]))


def _ordered(entries: Sequence[Entry], view: EvalView) -> list[tuple[Entry, int | None]]:
    """Entries with their positions: measured ones by speed, those within the limit first; then the failures."""
    runs = [entry for entry in entries if not entry.error]
    lost = [entry for entry in entries if entry.error]
    return [*((runs[position], position) for position in ranked(view)), *((entry, None) for entry in lost)]


def _row(entry: Entry, position: int | None, view: EvalView) -> dict[str, object]:
    head: dict[str, object] = {
        "by": entry.by,
        "what": entry.what,
        "op_types": entry.op_types,
        "per_channel": entry.per_channel,
        "preprocessing": entry.preprocessing,
        "pick": entry.pick,
    }
    file = None if position is None else view.result.models.get(position)
    if file is None or file.latency is None or position is None:
        return {**head, "error": _trouble(entry, position, view)}
    gain, latency = speedup_of(file.latency), file.latency
    return {
        **head,
        "keeps_drop": view.keeps.get(position),
        "speedup": gain.value,
        "speedup_low": gain.low,
        "speedup_high": gain.high,
        "speedup_by_session": _by_session(view.result.sitting, str(position)),
        "verdict": latency.verdict.value,
        "sessions": latency.sessions,
        "pairs": latency.pairs,
        "detectable": latency.detectable,
        "p50_ms": latency.median_ms,
        "flags": list(latency.flags),
        **_scored(file),
    }


def _fp32_row(view: EvalView) -> dict[str, object]:
    return {"by": "", "what": FP32, "p50_ms": _reference_ms(view), **_scored(view.result.reference)}


def _scored(file: Evaluated) -> dict[str, object]:
    seen = file.heldout
    return {
        "metric": seen.metric,
        "score": seen.score,
        "drop": seen.drop.value,
        "drop_low": seen.drop.low,
        "drop_high": seen.drop.high,
        "drop_points": seen.drop_points.value,
        "n": seen.n,
        "size_bytes": file.size_bytes,
        "sha256": file.sha256,
    }


def _line(entry: Entry, position: int | None, view: EvalView) -> Line:
    made = (entry.by, entry.what, entry.op_types, "yes" if entry.per_channel else "no", entry.preprocessing)
    file = None if position is None else view.result.models.get(position)
    if file is None or file.latency is None or position is None:
        return Line(cells=(*made, *(NOTHING,) * 5, _trouble(entry, position, view)))
    gain = speedup_of(file.latency)
    broken = "" if view.keeps.get(position, True) else f"breaks {view.limit}"
    remarks = ("the pick" if entry.pick else "", file.latency.verdict.value, broken, *file.latency.flags)
    numbers = (
        speedup(gain.value, gain.low, gain.high),
        milliseconds(file.latency.median_ms),
        drop_of(file.heldout, with_n=False),
        f"{file.heldout.score:.4g}",
        size(file.size_bytes),
        ", ".join(word for word in remarks if word),
    )
    return Line(cells=(*made, *numbers))


def _trouble(entry: Entry, position: int | None, view: EvalView) -> str:
    if position is None:
        return entry.error
    failure = view.result.failures[position]
    return f"{failure.cause.value}: {failure.message.splitlines()[0][:300]}"


def _by_session(sitting: Sitting, arm: str) -> list[float]:
    """The speed-up that each session alone would have told: its spread is the luck of processes."""
    gains = []
    for session in sorted({block.session for block in sitting.blocks}):
        blocks = tuple(block for block in sitting.blocks if block.session == session)
        alone = summarise(replace(sitting, blocks=blocks), arm)
        gains.append(1 / alone.ratio.value)
    return gains


def _duel(entries: Sequence[Entry], view: EvalView) -> dict[str, object]:
    """The job's pick against the fastest of theirs that keeps the limit; against fp32 where none does."""
    runs = [entry for entry in entries if not entry.error]
    pick = next((at for at, entry in enumerate(runs) if entry.pick), None)
    kept = [at for at in ranked(view) if runs[at].by == THEIRS and view.keeps.get(at, at in view.result.models)]
    timed = [at for at in kept if not polluted(view.result.models[at])]
    mine, rival = (FP32 if at is None else str(at) for at in (pick, timed[0] if timed else None))
    row: dict[str, object] = {"what": "head to head", "pick": _name(runs, mine)}
    if kept and not timed:
        theirs = ", ".join(runs[at].what for at in kept)
        return {**row, "theirs": theirs, _RATIO: None, "verdict": _unjudged("every one that keeps the limit is")}
    row["theirs"] = _name(runs, rival) if kept else "none keeps the limit, so fp32"
    if pick is not None and pick not in view.result.models:
        return {**row, _RATIO: None, "verdict": f"the pick failed, {_trouble(runs[pick], pick, view)}"}
    return {**row, **_outcome(view.result.sitting, mine, rival)}


def _outcome(sitting: Sitting, pick: str, rival: str) -> dict[str, object]:
    if pick == rival:
        return {_RATIO: 1.0, "verdict": "the same"}
    seen: Latency = summarise(sitting, rival, against=pick)
    if seen.verdict is Verdict.POLLUTED:
        return {_RATIO: None, "verdict": _unjudged("their common rounds are")}
    return {
        _RATIO: seen.ratio.value,
        "low": seen.ratio.low,
        "high": seen.ratio.high,
        "verdict": f"theirs is {seen.verdict.value}",
        "smallest difference that could be seen": percent(seen.detectable),
    }


def _unjudged(what: str) -> str:
    return f"not judged: {what} {Verdict.POLLUTED.value}"


def _duel_words(duel: dict[str, object]) -> str:
    words = f"head to head, the pick ({duel['pick']}) and the fastest of theirs within the limit ({duel['theirs']})"
    if duel[_RATIO] is None:
        return f"{words}: {duel['verdict']}"
    if "low" not in duel:
        return f"{words} are the same"
    seen = speedup(*(float(str(duel[name])) for name in (_RATIO, "low", "high")))
    return f"{words}: theirs takes {seen} of its time, {duel['verdict']}"


def _goals(entries: Sequence[Entry], view: EvalView, duel: dict[str, object]) -> list[Goal]:
    """NOTE: speed is judged by the interval. By the point estimate a tie would be lost every other time."""
    fastest = duel.get("high", duel[_RATIO])
    runs = [entry for entry in entries if not entry.error]
    lost = sum(not view.keeps.get(at, at in view.result.models) for at, entry in enumerate(runs) if entry.pick)
    return [
        Goal(
            name="the pick is not clearly slower than the best of theirs",
            value=None if fastest is None else float(str(fastest)),
            unit="upper end of the ratio of times",
            goal=">= 1",
        ),
        Goal(name="picks that fail, or break the limit held out", value=lost, unit="picks", goal="<= 0"),
    ]


def _name(runs: Sequence[Entry], arm: str) -> str:
    return FP32 if arm == FP32 else runs[int(arm)].what


def _reference_ms(view: EvalView) -> float:
    return next(file.latency.reference_ms for file in view.result.models.values() if file.latency)
