"""The loop's core, tried with thousands of made-up histories."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qsearch.service.loop import Ask, Asked, Cancel, Dispatch, Ended, Finish, Kill, LoopState, Stop, Tick, decide


def test_a_fresh_job_asks_for_as_many_as_it_can_run() -> None:
    state, instructions = decide(LoopState(budget=10, slots=2), Tick())
    assert instructions == (Ask(2),)
    state, instructions = decide(state, Asked((0, 1), 2))
    assert instructions == (Dispatch(0), Dispatch(1))
    assert state.running == {0, 1}


def test_a_resumed_job_runs_what_was_queued_before_it_asks() -> None:
    state, instructions = decide(LoopState(budget=3, slots=1, asked=2, queued=(1,)), Tick())
    assert instructions == (Dispatch(1),)
    _, instructions = decide(state, Ended(1))
    assert instructions == (Ask(1),)


def test_a_retry_goes_back_into_the_queue_and_costs_no_budget() -> None:
    state = LoopState(budget=1, slots=1, asked=1, running=frozenset({0}))
    state, instructions = decide(state, Ended(0, again=True))
    assert instructions == (Dispatch(0),)
    assert state.asked == 1


def test_the_budget_ends_the_search() -> None:
    state = LoopState(budget=1, slots=1, asked=1, running=frozenset({0}))
    _, instructions = decide(state, Ended(0))
    assert instructions == (Finish("the budget is spent"),)


def test_an_exhausted_space_ends_it_before_the_budget() -> None:
    state, _ = decide(LoopState(budget=9, slots=1), Tick())
    _, instructions = decide(state, Asked((), 1))
    assert instructions == (Finish("every candidate of the space was measured"),)


def test_stop_lets_running_trials_end_and_starts_none() -> None:
    state = LoopState(budget=9, slots=2, asked=3, queued=(2,), running=frozenset({0, 1}))
    state, instructions = decide(state, Stop("the time is up"))
    assert instructions == ()
    state, instructions = decide(state, Ended(0))
    assert instructions == ()
    _, instructions = decide(state, Ended(1))
    assert instructions == (Finish("the time is up"),)


def test_cancel_kills_what_runs_at_once() -> None:
    state = LoopState(budget=9, slots=2, asked=2, running=frozenset({0, 1}))
    state, instructions = decide(state, Cancel())
    assert instructions == (Kill((0, 1)), Finish("cancelled", cancelled=True))
    assert decide(state, Ended(0))[1] == ()


@given(
    budget=st.integers(1, 12),
    slots=st.integers(1, 4),
    space=st.integers(0, 15),
    fates=st.lists(st.sampled_from(["done", "again", "stop", "tick"]), max_size=60),
)
def test_whatever_happens_the_promises_hold(budget: int, slots: int, space: int, fates: list[str]) -> None:
    """Never more than `slots` run, never more rows than `budget`, each stay in the queue one dispatch, and an end."""
    state = LoopState(budget=budget, slots=slots)
    rows, running, finished = 0, set[int](), False
    pending = iter([*fates, *["done"] * (4 * budget + 60)])
    events: list[object] = [Tick()]
    while events:
        state, instructions = decide(state, events.pop(0))  # type: ignore[arg-type]
        for instruction in instructions:
            assert not finished
            if isinstance(instruction, Ask):
                given_now = min(instruction.count, space - rows)
                events.append(Asked(tuple(range(rows, rows + given_now)), instruction.count))
                rows += given_now
            elif isinstance(instruction, Dispatch):
                assert instruction.number not in running
                running.add(instruction.number)
            elif isinstance(instruction, Finish):
                finished = True
        assert len(running) <= slots
        assert rows <= budget
        if events or finished:
            continue
        fate = next(pending)
        if fate in ("done", "again") and running:
            number = min(running)
            running.remove(number)
            events.append(Ended(number, again=fate == "again"))
        else:
            events.append(Stop("asked") if fate == "stop" else Tick())
    assert finished
    assert not running
    if not state.stopping:
        assert rows == min(budget, space)
