"""The evidence in the smaller space is that of the whole covariance, and a long night is no trouble."""

from __future__ import annotations

import time

import numpy as np
import pytest

from qsearch.search.evidence import Evidence, Floats, Sizes

KIND = np.array([0, 1, 2] * 4)


def planted(trials: int, kind: np.ndarray, seed: int = 1) -> tuple[Floats, Floats]:
    """Which effects each trial had, and its drop."""
    draw = np.random.default_rng(seed)
    had = (draw.random((trials, len(kind))) < 0.4).astype(np.float64)
    return had, had @ draw.exponential(0.01, len(kind)) + 0.001 * draw.standard_normal(trials)


@pytest.mark.parametrize("trials", [5, 12, 13, 60])
@pytest.mark.parametrize(("noise", "interaction"), [(0.002, 0.1), (1e-5, 0.0), (0.05, 0.8)])
def test_it_is_that_of_the_whole_covariance(trials: int, noise: float, interaction: float) -> None:
    had, drops = planted(trials, KIND)
    evidence = Evidence(had, drops, KIND)
    sizes = Sizes((0.02, 0.001, 0.1), noise, interaction)
    prior, variances = np.array(sizes.usual)[KIND] ** 2, sizes.noise_of(drops)
    covariance = np.diag(variances) + (had * prior) @ had.T
    expected = np.linalg.slogdet(covariance)[1] + drops @ np.linalg.solve(covariance, drops)
    assert evidence.unlikeliness(sizes) == pytest.approx(expected, rel=1e-5) == evidence.unlikeliness(sizes)
    found, inverse = evidence.posterior(prior, variances), np.linalg.inv(covariance)
    gain = prior[:, None] * (had.T @ inverse)
    np.testing.assert_allclose(found.effect, gain @ drops, atol=1e-6)
    np.testing.assert_allclose(found.error**2, prior - np.einsum("jn,nj->j", gain, had) * prior, atol=1e-9)
    assert found.freedom == pytest.approx(variances @ np.diag(inverse), abs=1e-3)


def test_another_noise_is_not_taken_for_the_last_one() -> None:
    had, drops = planted(60, KIND)
    evidence, usual = Evidence(had, drops, KIND), (0.02, 0.001, 0.1)
    for sizes in (Sizes(usual, 0.002, 0.1), Sizes(usual, 0.002, 0.4), Sizes(usual, 0.02, 0.4)):
        assert evidence.unlikeliness(sizes) == Evidence(had, drops, KIND).unlikeliness(sizes)


def test_trials_cost_no_more_than_in_proportion() -> None:
    """The whole covariance of 3 000 trials takes seconds each time; CPU time, all threads."""
    kind = np.arange(30) % 3
    had, drops = planted(3000, kind)
    evidence, before = Evidence(had, drops, kind), time.process_time()
    for step in range(40):
        evidence.unlikeliness(Sizes((0.01, 0.01, 0.01), 0.001 * (1 + step), 0.1))
    assert time.process_time() - before < 8
