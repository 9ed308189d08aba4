"""The words of a drawn front: its title, the pick, what a mark means, where the numbers come from."""

from __future__ import annotations

from qsearch.contracts.front import Best, Proof
from qsearch.contracts.job import JobState
from qsearch.contracts.measurement import Tier
from qsearch.contracts.views import Origin
from qsearch.report.bests import choice_counts, versus_text
from qsearch.report.front_scene import Role, Scene, Spot, Standing, span, unseen_limits
from qsearch.report.limits import limits_remark
from qsearch.report.numbers import count, drop, drop_of, milliseconds, moment, percent, size, speedup, times
from qsearch.report.remarks import equal_line
from qsearch.report.trial_rows import p50_ms, pooled_references, shown_latency
from qsearch.report.trials import short


def title(scene: Scene) -> str:
    """`minilm on cpu-1thread`: the job by the name its user gave it."""
    view = scene.view
    return f"{view.origin.name if view.origin else view.job} on {view.target}"


def pick_sentence(scene: Scene) -> str:
    """The pick with its speed-up and its held-out drop; that there is none where there is none."""
    best = scene.view.best
    if best is None:
        return "No pick yet."
    if best.uniform == "uniform fp32" and best.feasible:
        return f"The pick is fp32 itself, {best.trial}."
    named = f"{best.trial} ({best.uniform})" if best.uniform else best.trial
    head = f"The pick is {named}" if best.feasible else f"Nothing keeps the limits; the closest is {named}"
    faster = speedup(best.speedup.value, best.speedup.low, best.speedup.high)
    return f"{head}: speed-up {faster}, {_heldout(best)}."


def sentences(scene: Scene) -> tuple[str, ...]:
    """What stands above the drawing, a line each: an unfinished job, the pick, why it is fp32, the best uniform one."""
    said = (unfinished_sentence(scene), pick_sentence(scene), reason_sentence(scene), versus_sentence(scene))
    return tuple(line for line in said if line)


def unfinished_sentence(scene: Scene) -> str:
    """That there may be more to come, or would have been; empty of a job that is DONE."""
    state = scene.view.state
    if state is JobState.DONE:
        return ""
    if state in (JobState.CANCELLED, JobState.FAILED):
        return (
            f"The job was {'cancelled' if state is JobState.CANCELLED else 'ended by a failure'}: this is what it had."
        )
    return f"The job is not finished ({state.value}): this is what there is so far."


def reason_sentence(scene: Scene) -> str:
    """Why the pick is fp32 or keeps no limit, as `best` says it; empty of another, whose numbers are the reason."""
    best = scene.view.best
    if best is None or (best.feasible and best.uniform != "uniform fp32"):
        return ""
    return best.reason


def versus_sentence(scene: Scene) -> str:
    """How the pick stands against the best uniform candidate; empty without a pick."""
    return f"It is {versus_text(scene.view.best)}." if scene.view.best and scene.view.best.versus_uniform else ""


def label(spot: Spot) -> str:
    """What stands beside a mark: short, and the number that `show` takes; empty for the crowd."""
    number, uniform = short(spot.row.trial), spot.row.uniform
    if spot.role is Role.PICK:
        return f"pick {number}, {_uniform(uniform)}" if uniform else f"pick {number}"
    if spot.role in (Role.FP32, Role.UNIFORM):
        return _uniform(uniform)
    return number if spot.role is Role.FRONT else ""


def label_in(scene: Scene, spot: Spot) -> str:
    """The same, with the number that puts it beyond the frame where it lies there."""
    text, tip = label(spot), scene.tip(spot) if spot.placed else ""
    if not text or not tip:
        return text
    return f"{text}: drop {percent(spot.y.value)}" if tip in ("up", "down") else f"{text}: {times(spot.x.value)}"


def hover(spot: Spot, scene: Scene) -> tuple[str, ...]:
    """Everything there is to say of one trial, a line each."""
    row, result = spot.row, spot.row.result
    latency = shown_latency(row)
    p50 = milliseconds(p50_ms(row, pooled_references(scene.view.rows)))
    remarks = [_place(spot), f"uniform {row.uniform}" if row.uniform else "", limits_remark(row)]
    lines = [
        f"{row.trial}: {', '.join(remark for remark in remarks if remark)}",
        f"speed-up {speedup(*span(spot.x))}, {latency.verdict.value}, {count(latency.sessions, 'session')}",
        f"drop, search {drop_of(result.accuracy)}",
        f"drop, held out {drop_of(result.heldout)}" if result.heldout else "",
        f"size {size(result.size_bytes)}, p50 {p50}",
        choice_counts(result.trial.candidate.choices.values()),
    ]
    return tuple(line for line in lines if line)


def edge_note(scene: Scene) -> str:
    """How many trials are beyond the frame and what is drawn of them; empty when none is."""
    if not scene.outside:
        return ""
    noun, them = (
        ("trial lies", "a hollow tip points to it")
        if scene.outside == 1
        else ("trials lie", "hollow tips point to them")
    )
    return f"{scene.outside} {noun} beyond the frame: {them}."


def caption(scene: Scene) -> tuple[str, ...]:
    """What a reader needs to trust the drawing, a line each: how to read it, samples and care, machine and date."""
    return (" ".join(part for part in _reading(scene) if part), *_source(scene))


def _heldout(best: Best) -> str:
    if best.drop is None:
        seen = best.drop_search
        return f"drop {drop(seen.value, seen.low, seen.high, seen.n)} on the search split, not scored on others"
    proof = "" if best.proof is Proof.NONE else f", the limit {best.proof.value}"
    return f"held-out drop {drop(best.drop.value, best.drop.low, best.drop.high, best.drop.n)}{proof}"


def _uniform(name: str) -> str:
    return name if name in ("", "fp32") else f"uniform {name}"


def _place(spot: Spot) -> str:
    # "dominated" of what breaks a limit says nothing: a limit's remark follows
    apart = "" if spot.standing is not Standing.FEASIBLE else "dominated"
    tie = f"tied with {short(spot.row.tied_with)}" if spot.row.feasible else apart
    place = {0: "on the front", 1: tie}.get(spot.row.rank, apart)
    return ", ".join(part for part in ("the pick" if spot.role is Role.PICK else "", place) if part)


def _day(origin: Origin) -> str:
    return (moment(origin.measured) or "undated").partition("T")[0]


def _reading(scene: Scene) -> tuple[str, ...]:
    told = [interval.confidence for spot in scene.spots if spot.bars for interval in (spot.x, spot.y)]
    least = min(told, default=0.95)
    sure = "95 %" if least >= 0.95 else f"at least {least * 100:.0f} %"
    other = [limit.text for limit in scene.limits if not limit.seen]
    unseen = [*unseen_limits(scene.view.constraints), *other]
    lost = [short(spot.row.trial) for spot in scene.spots if not spot.placed]
    axes = scene.view.objectives
    return (
        f"Bars are intervals of {sure} confidence.",
        "Dotted lines join a front member with what cannot be told from it." if scene.ties else "",
        equal_line(scene.view.rows),
        edge_note(scene),
        f"Limits that are no line here: {', '.join(unseen)}." if unseen else "",
        f"Without a usable number, so not drawn: trial {', '.join(lost)}." if lost else "",
        "" if set(axes) == {"latency", "drop"} else f"The front is that of {' and '.join(axes)}, not of these axes.",
    )


def _source(scene: Scene) -> tuple[str, ...]:
    view, origin = scene.view, scene.view.origin
    samples = sorted({spot.row.result.accuracy.n for spot in scene.spots})
    n = f"n={samples[0]}" if len(samples) == 1 else f"n={samples[0]} to {samples[-1]}" if samples else "n=0"
    measured = f"{count(len(scene.spots), 'trial')}, {view.metric} on {n} samples of the search split"
    finals = any(spot.row.result.final_latency for spot in scene.spots)
    if origin is None:
        return (f"{measured}.", f"Machine class {view.machine_key}.")
    tier = f"tier {origin.tier.value}{', indicative only' if origin.tier is Tier.QUICK else ''}"
    care = f"{tier}{'; finalists measured again' if finals else ''}"
    return (
        f"{measured}; {care}.",
        f"{origin.cpu}, {count(origin.cores, 'core')} (class {view.machine_key}), {origin.runtime}, "
        f"{count(origin.threads, 'thread')}, batch {origin.batch}. Job {view.job}, {_day(origin)}.",
    )
