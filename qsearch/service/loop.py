"""The search loop's core: a pure function of state and event.

It decides what happens next and does nothing itself: no clock, no disk, no network, no random
numbers. The driver is the shell that feeds it events and carries out its instructions, so a year of
crashes and late answers can be tried in a test that takes a millisecond.

NOTE: candidates are asked for one slot at a time and not in advance, because a proposer that has seen
one more result proposes better, and because trials that are queued when the time is up would be
waste. The budget counts rows: a trial that failed for good has spent its unit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopState:
    """Where the search of one job stands."""

    #: rows this job may have
    budget: int
    #: trials that can run at once
    slots: int
    #: rows there are, of any state but CANCELLED
    asked: int = 0
    #: numbers of rows that wait for a slot, oldest first
    queued: tuple[int, ...] = ()
    running: frozenset[int] = frozenset()
    #: the proposer has nothing more
    exhausted: bool = False
    #: no new work: the user asked to stop, the time is up, or the front has stalled
    stopping: str = ""
    cancelled: bool = False
    finished: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """The proposer answered; rows were written. Fewer than wanted = the space is exhausted."""

    numbers: tuple[int, ...]
    wanted: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A trial ended; `again` = it went back into the queue for another attempt."""

    number: int
    again: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """No new trials; those that run may end."""

    reason: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Kill what runs."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing happened; decide what there is to do."""


Event = Asked | Ended | Stop | Cancel | Tick


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the proposer for this many candidates and write their rows."""

    count: int


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Hand this trial to the pool."""

    number: int


@dataclass(frozen=True, slots=True)
class Kill:
    """Cancel these running trials."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Finish:
    """The search is over; go on to the finals (or, when cancelled, to the end)."""

    reason: str
    cancelled: bool = False


Instruction = Ask | Dispatch | Kill | Finish


def decide(state: LoopState, event: Event) -> tuple[LoopState, tuple[Instruction, ...]]:
    """The next state, and what the shell must do, in order.

    Promises: a number is dispatched at most once per stay in the queue; never more than `slots`
    run; never more rows than `budget`; after `Finish` nothing follows.
    """
    if state.finished:
        return state, ()
    state = _absorb(state, event)
    if state.cancelled:
        running = tuple(sorted(state.running))
        done = replace(state, queued=(), running=frozenset(), finished=True)
        return done, (Kill(running), Finish("cancelled", cancelled=True))
    instructions: list[Instruction] = []
    while state.queued and len(state.running) < state.slots and not state.stopping:
        first, rest = state.queued[0], state.queued[1:]
        state = replace(state, queued=rest, running=state.running | {first})
        instructions.append(Dispatch(first))
    free = state.slots - len(state.running)
    wanted = min(free, state.budget - state.asked)
    if wanted > 0 and not state.queued and not state.stopping and not state.exhausted:
        instructions.append(Ask(wanted))
    elif not state.running and (state.stopping or not state.queued):
        state = replace(state, finished=True)
        instructions.append(Finish(_why(state)))
    return state, tuple(instructions)


def _absorb(state: LoopState, event: Event) -> LoopState:
    if isinstance(event, Asked):
        return replace(
            state,
            asked=state.asked + len(event.numbers),
            queued=state.queued + event.numbers,
            exhausted=state.exhausted or len(event.numbers) < event.wanted,
        )
    if isinstance(event, Ended):
        queued = (*state.queued, event.number) if event.again else state.queued
        return replace(state, running=state.running - {event.number}, queued=queued)
    if isinstance(event, Stop):
        return replace(state, stopping=state.stopping or event.reason)
    if isinstance(event, Cancel):
        return replace(state, cancelled=True)
    return state


def _why(state: LoopState) -> str:
    if state.stopping:
        return state.stopping
    return "every candidate of the space was measured" if state.exhausted else "the budget is spent"
