"""The terrain task: fields that the model knows, and one level in each batch."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from qsearch.spec.loading import load_spec
from qsearch.zoo import terrain

ROOT = Path(__file__).parents[3]


def test_samples_are_ordered_by_level_the_same_everywhere_and_in_one_split_only() -> None:
    first, second = terrain.task(), terrain.task()
    seen: set[bytes] = set()
    for split, again, each in (
        (first.calibration, second.calibration, terrain.CALIBRATION),
        (first.search, second.search, terrain.SEARCH),
        (first.heldout, second.heldout, terrain.HELDOUT),
    ):
        assert [float(s["sigma"]) for s in split.samples] == [
            float(np.float32(s)) for s in terrain.SIGMAS for _ in range(each)
        ]
        for sample, other in zip(split.samples, again.samples, strict=True):
            assert sample["noisy"].dtype == sample["sigma"].dtype == sample["difficulty"].dtype == np.float32
            np.testing.assert_array_equal(sample["noisy"], other["noisy"])
            seen.add(sample["noisy"].tobytes())
    assert len(seen) == len(terrain.SIGMAS) * (terrain.CALIBRATION + terrain.SEARCH + terrain.HELDOUT)


def test_harder_fields_are_higher_and_rougher_and_in_the_models_range() -> None:
    easy, hard = ([terrain.field(np.random.default_rng(i), grade) for i in range(8)] for grade in (1, 100))
    rough = [np.mean([np.abs(np.diff(f, axis=0)).mean() for f in fields]) for fields in (easy, hard)]
    assert rough[1] > 3 * rough[0]
    for found in (*easy, *hard):
        whole = terrain.to_model(found)
        assert found.min() == 0.0
        assert found.max() < terrain.RANGE
        assert whole.min() == -1.0
        assert whole.max() < 1.0
        back = terrain.KNEE * np.sinh((whole.astype(np.float64) + 1) / 2 * np.arcsinh(terrain.RANGE / terrain.KNEE))
        np.testing.assert_allclose(back, found, atol=1e-4)


def test_the_config_names_the_time_input() -> None:
    spec, _ = load_spec(ROOT / "configs" / "terrain.yaml")
    assert spec.model.time_input == "sigma"


@pytest.mark.slow
def test_the_model_takes_the_noise_off() -> None:
    package = distribution("adaptive-terrain-diffusion")
    (file,) = [f for f in package.files or [] if str(f).endswith(".onnx")]
    session = ort.InferenceSession(str(file.locate()), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    clean = terrain.to_model(terrain.field(rng, 50))[np.newaxis, np.newaxis]
    for sigma in (0.33, 0.9):
        noisy = clean + sigma * rng.standard_normal(clean.shape, dtype=np.float32)
        feeds = {
            "noisy": noisy.astype(np.float32),
            "sigma": np.array([sigma], np.float32),
            "difficulty": np.array([49 / 99], np.float32),
        }
        (found,) = session.run(["denoised"], feeds)
        # the fields are made, and unlike those that the model was trained on: it cannot know them well
        assert np.mean((found - clean) ** 2) < sigma**2 / 3
