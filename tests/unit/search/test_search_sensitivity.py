"""Effects that were planted are found with the stated coverage; what cannot be told apart is not told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qsearch.contracts.candidate import Candidate
from qsearch.contracts.choices import Choice
from qsearch.contracts.trial import Result
from qsearch.contracts.verdict import Verdict
from qsearch.search.sensitivity import Site, sensitivity_of
from tests.factories import make_accuracy, make_candidate, make_latency, make_layers, make_result

QUANTIZED = (Choice.INT8_STATIC, Choice.INT8_DYNAMIC, Choice.TERNARY)
USUAL = {Choice.INT8_STATIC: 0.003, Choice.INT8_DYNAMIC: 0.001, Choice.TERNARY: 0.03}


def planted(seed: int, layers: int, trials: int, *, noise: float = 0.001, share: float = 0.0):
    """A history of random candidates whose drops are sums of skewed effects, and the effects."""
    draw = np.random.default_rng(seed)
    names = [layer.id for layer in make_layers(layers)]
    effects: dict[Site, float] = {
        (name, choice): float(USUAL[choice] * draw.exponential() * draw.lognormal(0, 0.8))
        for name in names
        for choice in QUANTIZED
    }
    history = []
    for number in range(trials):
        got = {name: (Choice.FP32, *QUANTIZED)[draw.integers(4)] for name in names}
        true = sum(effects[site] for site in got.items() if site[1] is not Choice.FP32)
        drop = true + (noise + share * abs(true)) * draw.standard_normal()
        history.append(make_result(number, Candidate(choices=got), drop=float(drop)))
    return history, effects


def coverage(layers: int, trials: int, seeds: int = 20, **world: float) -> tuple[float, float]:
    """Share of the effects that are told, and of these, share of intervals that hold the planted one."""
    told, held, all_effects = 0, 0, 0
    for seed in range(seeds):
        history, effects = planted(seed, layers, trials, **world)
        found = sensitivity_of(history).effects
        all_effects += len(effects)
        told += len(found)
        held += sum(interval.low <= effects[site] <= interval.high for site, interval in found.items())
    return told / all_effects, held / max(told, 1)


@pytest.mark.parametrize(
    ("layers", "trials", "share", "expected"), [(6, 60, 0.0, 0.95), (10, 60, 0.1, 0.6), (20, 60, 0.1, 0.1)]
)
def test_planted_effects_are_told_and_their_intervals_hold(
    layers: int, trials: int, share: float, expected: float
) -> None:
    told, held = coverage(layers, trials, share=share)
    assert told >= expected
    assert held >= 0.9


def test_with_far_fewer_trials_than_effects_hardly_anything_is_told_and_nothing_wrongly() -> None:
    told, held = coverage(20, 15, share=0.1)
    assert told < 0.05
    assert held >= 0.9 or told == 0


def test_layers_that_always_change_together_are_not_told_apart() -> None:
    history, effects = planted(1, 6, 80)
    bound = [
        replace(r, trial=replace(r.trial, candidate=Candidate(choices=_together(r.trial.candidate.choices))))
        for r in history
    ]
    moved = [
        replace(r, accuracy=make_accuracy(sum(effects.get(site, 0.0) for site in r.trial.candidate.choices.items())))
        for r in bound
    ]
    found = sensitivity_of(moved).effects
    assert not [site for site in found if site[0] in ("block.0", "block.1")]
    assert len([site for site in found if site[0] == "block.3"]) == 3


def _together(choices: dict[str, Choice]) -> dict[str, Choice]:
    return {**choices, "block.1": choices["block.0"]}


def test_what_is_pinned_in_every_trial_is_not_told() -> None:
    history, _ = planted(2, 4, 60)
    pinned = [
        replace(
            r,
            trial=replace(
                r.trial, candidate=Candidate(choices={**r.trial.candidate.choices, "pinned": Choice.TERNARY})
            ),
        )
        for r in history
    ]
    found = sensitivity_of(pinned)
    assert found.seen["pinned", Choice.TERNARY] == 60
    assert ("pinned", Choice.TERNARY) not in found.effects or (
        found.effects["pinned", Choice.TERNARY].low <= 0 <= found.effects["pinned", Choice.TERNARY].high
    )


def test_nothing_is_made_of_nothing() -> None:
    layers = make_layers(3)
    fp32 = make_result(0, make_candidate(layers, Choice.FP32))
    assert sensitivity_of([]).trials == 0
    assert sensitivity_of([fp32]) == sensitivity_of([])
    few = [fp32, *(make_result(n, make_candidate(layers, choice)) for n, choice in enumerate(QUANTIZED, 1))]
    found = sensitivity_of(few)
    assert (found.trials, found.effects) == (3, {})
    assert found.seen["block.0", Choice.TERNARY] == 1


def test_polluted_latencies_count_and_broken_drops_do_not() -> None:
    layers = make_layers(2)
    polluted = make_result(0, make_candidate(layers, Choice.TERNARY), verdict=Verdict.POLLUTED)
    broken: Result = replace(polluted, accuracy=make_accuracy(float("nan")), latency=make_latency())
    assert sensitivity_of([polluted, broken]).trials == 1


def test_equal_drops_without_any_loss_are_no_trouble() -> None:
    history = [replace(r, accuracy=make_accuracy(0.0)) for r in planted(3, 3, 40)[0]]
    found = sensitivity_of(history).effects
    assert all(abs(interval.value) < 1e-6 for interval in found.values())


def test_the_order_of_trials_changes_nothing() -> None:
    history, _ = planted(4, 4, 40)
    one, other = sensitivity_of(history).effects, sensitivity_of(history[::-1]).effects
    assert set(one) == set(other)
    assert all(one[site].value == pytest.approx(other[site].value, abs=1e-9) for site in one)
