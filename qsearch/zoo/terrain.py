"""Denoising heightfields with the consistency U-Net of the package `adaptive-terrain-diffusion`.

The model takes a heightfield with noise of a level, `sigma`, and gives the one without. Its activations follow the
level: it is the model with a time input. The fields here are fractal noise (a random spectrum that falls
with a power of the frequency), in the package's own units: heights in metres up to `RANGE`, through an inverse
hyperbolic sine, to −1..1; noise of the level's size on top, as the package does when it varies a terrain.

NOTE: fields that are made and not measured, so that any machine has the same ones without a download. What the model
makes of them is compared with what it makes of them in fp32, and not with a truth: there is none.

NOTE: samples are ordered by level, so that batches have one level each while the batch divides the number of
samples of a level: a kernel has one scale for a whole batch.
"""

from __future__ import annotations

import numpy as np

from qsearch.contracts.task import Array, Feeds, Split, Task

#: noise levels: the first of the package's own range, and down in ratios that a sampler of five steps takes
SIGMAS = (80.0, 24.4, 5.84, 0.9, 0.33)
#: cells of a side
SIZE = 128
#: samples of each level in each split
CALIBRATION, SEARCH, HELDOUT = 8, 8, 16
#: metres: the highest that the model knows, and where its scale turns from linear to logarithmic
RANGE, KNEE = 22.16864013671875, 0.1
#: difficulties that the model tells apart
GRADES = 100
_SEED = 128


def task() -> Task:
    """Signal to noise of the denoised field against fp32's; higher is better.

    Samples are `noisy`, float32 [1, 128, 128], `sigma` and `difficulty`, float32 scalars.
    """
    calibration, search, heldout = (_split(number, each) for number, each in enumerate((CALIBRATION, SEARCH, HELDOUT)))
    return Task(metric="sqnr-to-fp32", score="sqnr-to-fp32", calibration=calibration, search=search, heldout=heldout)


def field(rng: np.random.Generator, grade: int) -> Array:
    """A heightfield in metres from 0, float64 [128, 128]; higher grades are rougher and higher."""
    hard = (grade - 1) / (GRADES - 1)
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, np.newaxis], np.fft.rfftfreq(SIZE)[np.newaxis, :]) * SIZE
    fall = np.maximum(frequency, 1.0) ** -(rng.uniform(2.0, 2.6) - 0.6 * hard)
    fall[0, 0] = 0.0
    phases = np.exp(2j * np.pi * rng.random(fall.shape))
    heights = np.fft.irfft2(fall * phases, s=(SIZE, SIZE))
    heights -= heights.min()
    found: Array = heights * (rng.uniform(0.5, 1.5) * (0.5 + 6.0 * hard) / heights.max())
    return found


def to_model(heights: Array) -> Array:
    """Metres as the model has them, −1..1, float32."""
    unit = np.arcsinh(np.clip(heights, 0.0, RANGE) / KNEE) / np.arcsinh(RANGE / KNEE)
    found: Array = (unit * 2.0 - 1.0).astype(np.float32)
    return found


def _split(number: int, each: int) -> Split:
    samples = []
    for level, sigma in enumerate(SIGMAS):
        for i in range(each):
            rng = np.random.default_rng([_SEED, number, level, i])
            samples.append(_sample(rng, sigma))
    return Split(samples=samples)


def _sample(rng: np.random.Generator, sigma: float) -> Feeds:
    grade = int(rng.integers(1, GRADES + 1))
    clean = to_model(field(rng, grade))[np.newaxis]
    noise = rng.standard_normal(clean.shape, dtype=np.float32)
    return {
        "noisy": clean + noise * np.float32(sigma),
        "sigma": np.float32(sigma),
        "difficulty": np.float32((grade - 1) / (GRADES - 1)),
    }
