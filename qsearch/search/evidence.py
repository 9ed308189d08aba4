"""How likely drops are, and what effects they tell, when each is a sum of effects plus independent noise.

Drops y (n), which effects each trial had H (n × p, 0 or 1), effects with a normal prior of variances D,
noise of variances V: y is normal with covariance V + H·D·Hᵀ (Bishop, "Pattern Recognition and Machine
Learning", 2006, sections 2.3.3 and 3.5).

NOTE: a job has far more trials than effects after a night, and fewer in its first minutes, so everything
is worked out in the smaller of the two spaces (the matrix determinant lemma, Woodbury's identity). The
quadratic form yᵀ(V + H·D·Hᵀ)⁻¹y is taken as the smallest of |y − H·m|² / V + |m|² / D over m, a sum of
squares, and never as the difference of two large numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the drops are made of: usual effect of each kind of choice, σ and κ."""

    usual: tuple[float, ...]
    noise: float
    interaction: float

    def noise_of(self, drops: Floats) -> Floats:
        """Variance of each drop that is no effect's, σ² + (κ·drop)²."""
        return self.noise**2 + (self.interaction * drops) ** 2


@dataclass(frozen=True, slots=True)
class Posterior:
    """What the trials tell of the effects."""

    #: [p], best estimates
    effect: Floats
    #: [p], their standard errors
    error: Floats
    #: trials left for the noise, once the effects are fitted
    freedom: float


class Evidence:
    """The drops of finished trials and which effects each had; remembers what it worked out.

    Args:
        had: [n, p], 1 where a trial had an effect, else 0.
        drops: [n].
        kind: [p], which of `Sizes.usual` an effect is of.
        extra: [n], variance that a drop has besides σ and κ, because fewer samples were scored; None = none.
    """

    def __init__(self, had: Floats, drops: Floats, kind: NDArray[np.int64], extra: Floats | None = None) -> None:
        self._had, self._drops, self._kind = had, drops, kind
        self._extra = np.zeros(len(drops)) if extra is None else extra
        self._few_trials = len(drops) <= had.shape[1]
        own = [had[:, kind == k] for k in range(int(kind.max(initial=-1)) + 1)] if self._few_trials else []
        self._spreads = [columns @ columns.T for columns in own]
        self._answers: dict[Sizes, float] = {}
        self._weighed: tuple[tuple[float, float], Floats] | None = None

    def unlikeliness(self, sizes: Sizes) -> float:
        """−2 log marginal likelihood, up to a constant. Asked again it costs nothing."""
        if sizes not in self._answers:
            self._answers[sizes] = self._by_trials(sizes) if self._few_trials else self._by_effects(sizes)
        return self._answers[sizes]

    def noise_of(self, sizes: Sizes) -> Floats:
        """Variance of each drop that is no effect's, [n]."""
        return sizes.noise_of(self._drops) + self._extra

    def posterior(self, prior: Floats, noise: Floats) -> Posterior:
        """Effects under a prior.

        Args:
            prior: [p], variances around 0.
            noise: [n], variances.
        """
        wide, clean = np.sqrt(prior), self._drops / np.sqrt(noise)
        scaled = self._had * wide / np.sqrt(noise)[:, None]
        if self._few_trials:
            inverse = np.linalg.inv(np.eye(len(clean)) + scaled @ scaled.T)
            gain = scaled.T @ inverse
            left = np.maximum(1.0 - np.einsum("jn,nj->j", gain, scaled), 0.0)
            return Posterior(wide * (gain @ clean), wide * np.sqrt(left), float(np.trace(inverse)))
        inverse = np.linalg.inv(np.eye(len(wide)) + scaled.T @ scaled)
        freedom = len(clean) - len(wide) + float(np.trace(inverse))
        return Posterior(wide * (inverse @ (scaled.T @ clean)), wide * np.sqrt(np.diag(inverse)), freedom)

    def _by_trials(self, sizes: Sizes) -> float:
        covariance = np.diag(self.noise_of(sizes))
        for usual, spread in zip(sizes.usual, self._spreads, strict=True):
            covariance = covariance + usual**2 * spread
        root = np.linalg.cholesky(covariance)
        whitened = np.linalg.solve(root, self._drops)
        return float(2 * np.log(np.diag(root)).sum() + whitened @ whitened)

    def _by_effects(self, sizes: Sizes) -> float:
        noise, usual = self.noise_of(sizes), np.array(sizes.usual)[self._kind]
        inner = np.eye(len(usual)) + usual[:, None] * self._gram(sizes, noise) * usual
        fitted = np.linalg.solve(inner, usual * (self._had.T @ (self._drops / noise)))
        rest = self._drops - self._had @ (usual * fitted)
        width = np.log(noise).sum() + 2 * np.log(np.diag(np.linalg.cholesky(inner))).sum()
        return float(width + rest @ (rest / noise) + fitted @ fitted)

    def _gram(self, sizes: Sizes, noise: Floats) -> Floats:
        """Hᵀ·V⁻¹·H, the one product that is as long as the trials."""
        key = sizes.noise, sizes.interaction
        if self._weighed is None or self._weighed[0] != key:
            scaled = self._had / np.sqrt(noise)[:, None]
            self._weighed = key, scaled.T @ scaled
        return self._weighed[1]
