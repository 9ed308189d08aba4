"""Paired drops: exact where they can be, deterministic, of the right sign, of stated coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qsearch.measure.drop import mcnemar_p, paired_drop


def _brute_mcnemar(lost: int, won: int) -> float:
    n = lost + won
    masses = [math.comb(n, i) / 2**n for i in range(n + 1)]
    return min(1.0, sum(m for i, m in enumerate(masses) if abs(i - n / 2) >= abs(lost - n / 2)))


@pytest.mark.parametrize("lost", range(8))
@pytest.mark.parametrize("won", range(8))
def test_mcnemar_is_the_binomial_test_of_the_discordant_pairs(lost: int, won: int) -> None:
    assert mcnemar_p(lost, won) == pytest.approx(_brute_mcnemar(lost, won))


def _table(both: int, lost: int, won: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    reference = np.repeat([1.0, 1.0, 0.0, 0.0], [both, lost, won, neither])
    candidate = np.repeat([1.0, 0.0, 1.0, 0.0], [both, lost, won, neither])
    return candidate, reference


def test_newcombes_published_intervals_are_reproduced() -> None:
    # Newcombe 1998, Statistics in Medicine 17:2635, table III: (36, 12, 2, 0) method 10.
    candidate, reference = _table(36, 12, 2, 0)
    _, points, _ = paired_drop(candidate, reference, None, True, 0)
    assert (points.value, points.low, points.high) == pytest.approx((0.2, 0.0569, 0.3404), abs=5e-4)


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (1, 0), (3, 1), (5, 0), (6, 0), (12, 2), (30, 28), (2, 9)])
def test_the_interval_never_claims_what_the_exact_test_does_not(lost: int, won: int) -> None:
    candidate, reference = _table(400, lost, won, 60)
    relative, points, _ = paired_drop(candidate, reference, None, True, 0)
    if mcnemar_p(lost, won) > 0.05:
        assert points.low <= 0 <= points.high
        assert relative.low <= 0 <= relative.high


def test_no_change_on_few_samples_is_no_proof_of_no_drop() -> None:
    candidate, reference = _table(450, 0, 0, 50)
    relative, points, detectable = paired_drop(candidate, reference, None, True, 0)
    assert points.value == 0
    assert 0.003 < points.high < 0.02
    assert relative.high == pytest.approx(points.high / 0.9)
    assert detectable > 0


def test_lower_is_better_turns_the_sign_and_keeps_the_width() -> None:
    candidate, reference = _table(40, 12, 2, 6)
    _, up, _ = paired_drop(candidate, reference, None, True, 0)
    _, down, _ = paired_drop(1 - candidate, 1 - reference, None, False, 0)
    assert (down.value, down.low, down.high) == pytest.approx((up.value, up.low, up.high))


def test_the_bootstrap_is_deterministic_and_follows_its_seed() -> None:
    rng = np.random.default_rng(5)
    reference = rng.random(300)
    candidate = reference - 0.02 + rng.normal(0, 0.05, 300)
    first = paired_drop(candidate, reference, None, True, 1)
    assert first == paired_drop(candidate, reference, None, True, 1)
    assert first != paired_drop(candidate, reference, None, True, 2)
    relative, points, detectable = first
    assert points.low < 0.02 < points.high
    assert relative.value == pytest.approx(points.value / reference.mean())
    assert detectable == pytest.approx(2.80 * 0.05 / math.sqrt(300) / reference.mean(), rel=0.1)


def test_bootstrap_coverage_over_many_simulations() -> None:
    rng = np.random.default_rng(6)
    hits = 0
    for seed in range(200):
        reference = rng.random(200)
        candidate = reference - 0.01 + rng.normal(0, 0.05, 200)
        _, points, _ = paired_drop(candidate, reference, None, True, seed)
        hits += points.low <= 0.01 <= points.high
    assert hits >= 180


def test_weights_make_the_ratio_of_sums() -> None:
    # Character errors: edits / length, weighted by length.
    edits, fp32, length = np.array([2.0, 0.0, 5.0]), np.array([1.0, 0.0, 4.0]), np.array([10.0, 20.0, 50.0])
    _, points, _ = paired_drop(edits / length, fp32 / length, length, False, 0)
    assert points.value == pytest.approx((7 - 5) / 80)
    assert points.low <= points.value <= points.high


def test_a_reference_score_of_zero_gives_points() -> None:
    mse = np.array([0.1, 0.2, 0.3, 0.4])
    relative, points, _ = paired_drop(mse, np.zeros(4), None, False, 0)
    assert relative.value == points.value == pytest.approx(0.25)
    assert np.isfinite([relative.low, relative.high]).all()


def test_many_samples_stay_in_bounded_memory() -> None:
    rng = np.random.default_rng(7)
    reference = rng.random(60_000)
    _, points, _ = paired_drop(reference - 0.001, reference, None, True, 0)
    assert points.value == pytest.approx(0.001)
    assert points.high - points.low < 1e-6
