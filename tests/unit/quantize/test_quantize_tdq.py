"""tdq: ranges by the time input, against a numpy reference of the scheme and the kernels that really run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from unit.quantize.tiny_graphs import draw, model, node, optimised, prepare, run_candidate, uniform

from qsearch.contracts.choices import Choice
from qsearch.contracts.errors import DataError, ModelError, Unsupported
from qsearch.quantize.index import read_index
from qsearch.quantize.ranges import Range
from qsearch.quantize.timing import MOST_STEPS, edges_between

CHOICES = (Choice.FP32, Choice.INT8_STATIC, Choice.TDQ)
TIMES = (0.25, 2.0, 64.0)


def timed(x: np.ndarray, time: float) -> dict[str, np.ndarray]:
    return {"x": x, "t": np.full(len(x), time, dtype=np.float32)}


def spread(*shape: int) -> list[dict[str, np.ndarray]]:
    """Activations as large as their time."""
    return [timed(draw(*shape, seed=i) * np.float32(t), t) for i, t in enumerate(TIMES)]


def picture(behind: str = "", bias: bool = True) -> onnx.ModelProto:
    nodes = [node("Conv", ["x", "k", *(["b"] if bias else [])], ["c"], "conv", pads=[1, 1, 1, 1])]
    weights = {"k": draw(4, 3, 3, 3, seed=7, scale=0.2), "b": draw(4, seed=8)}
    last = "c"
    if behind:
        extra = ["low", "high"] if behind == "Clip" else []
        nodes.append(node(behind, ["c", *extra], ["r"], "behind"))
        weights |= {"low": np.float32(0.5), "high": np.float32(6.0)} if extra else {}
        last = "r"
    nodes.append(node("Conv", [last, "k2"], ["y"], "second"))
    weights["k2"] = draw(2, 4, 1, 1, seed=9)
    return model(nodes, {"x": ["n", 3, 5, 7], "t": ["n"]}, ["y"], weights)


def codes(values: np.ndarray, found: Range) -> tuple[np.ndarray, float, int]:
    scale, zero = found.parameters()
    return np.clip(np.rint(values / scale) + zero, 0, 255) - np.float64(zero), float(scale), int(zero)


def int8(weight: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    others = tuple(i for i in range(weight.ndim) if i != axis)
    scale = (np.abs(weight).max(axis=others) / 127).astype(np.float32)
    shaped = scale.reshape([-1 if i == axis else 1 for i in range(weight.ndim)])
    return np.clip(np.rint(weight / shaped), -127, 127), scale


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rank", [2, 3])
def test_a_matrix_is_what_the_definition_says_at_each_time(tmp_path: Path, bias: bool, rank: int) -> None:
    weight, addend = draw(16, 8, seed=1), draw(8, seed=2)
    if rank == 2:
        nodes = [node("Gemm", ["x", "w", *(["b"] if bias else [])], ["y"], "layer")]
    else:
        nodes = [node("MatMul", ["x", "w"], ["p"], "layer"), node("Add", ["p", "b"], ["y"], "add")]
    shape = (4, 16) if rank == 2 else (4, 3, 16)
    source = model(nodes, {"x": ["n", *shape[1:]], "t": ["n"]}, ["y"], {"w": weight, "b": addend})
    feeds = spread(*shape)
    prepare(source, tmp_path, feeds, choices=CHOICES, time_input="t")
    times = read_index(tmp_path / "prepared").times
    assert times is not None
    assert len(times.edges) == 2
    whole, factors = int8(weight, 1)
    for i, one in enumerate(feeds):
        found = run_candidate(tmp_path, uniform(tmp_path, Choice.TDQ), one)["y"]
        a, scale, _ = codes(one["x"].astype(np.float64), times.ranges["x"][i])
        want = (a @ whole) * (scale * factors.astype(np.float64)) + (addend if bias or rank == 3 else 0.0)
        np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5 * np.abs(want).max())
    kinds = optimised(tmp_path)
    assert kinds["MatMulIntegerToFloat"] == 1
    assert not kinds["Gemm"]
    assert not kinds["MatMul"]


@pytest.mark.parametrize("behind", ["", "Relu", "Clip"])
@pytest.mark.parametrize("bias", [True, False])
def test_convolutions_are_what_the_definition_says_at_each_time(tmp_path: Path, behind: str, bias: bool) -> None:
    source, feeds = picture(behind, bias), spread(2, 3, 5, 7)
    prepare(source, tmp_path, feeds, choices=CHOICES, time_input="t")
    times = read_index(tmp_path / "prepared").times
    assert times is not None
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in source.graph.initializer}
    first, first_scale = int8(weights["k"], 0)
    second, second_scale = int8(weights["k2"], 0)
    middle = "r" if behind else "c"
    for i, one in enumerate(feeds):
        found = run_candidate(tmp_path, uniform(tmp_path, Choice.TDQ), one)["y"]
        a, scale, _ = codes(one["x"].astype(np.float64), times.ranges["x"][i])
        padded = np.pad(a, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
        step = scale * first_scale.astype(np.float64)
        product = np.einsum("nchwij,ocij->nohw", windows, first) * step[:, None, None]
        if bias:
            product += (np.rint(weights["b"] / step) * step)[:, None, None]
        b, scale, _ = codes(product, times.ranges[middle][i])
        if behind == "Clip":
            b, scale, _ = codes(np.clip(b * scale, 0.5, 6.0), times.ranges[middle][i])
        out = (
            np.einsum("nchw,oc->nohw", b, second[:, :, 0, 0]) * (scale * second_scale.astype(np.float64))[:, None, None]
        )
        c, scale, _ = codes(out, times.ranges["y"][i])
        # a tie of rounding in the first layer may move a code
        assert np.abs(found - c * scale).max() <= 2.01 * scale
        assert np.mean(np.abs(found - c * scale) > 0.01 * scale) < 0.02
    kinds = optimised(tmp_path)
    assert kinds["QLinearConv"] == 2
    assert not kinds["Conv"]
    assert not kinds["Relu"]
    assert kinds["QuantizeLinear"] == (2 if behind == "Clip" else 1)


def test_small_times_keep_what_one_range_for_all_loses(tmp_path: Path) -> None:
    feeds = spread(2, 3, 5, 7)
    prepare(picture(), tmp_path, feeds, choices=CHOICES, time_input="t")
    lost = {}
    for choice in CHOICES:
        lost[choice] = run_candidate(tmp_path, uniform(tmp_path, choice), feeds[0])["y"]
    error = {c: float(np.mean((lost[c] - lost[Choice.FP32]) ** 2)) for c in CHOICES[1:]}
    assert error[Choice.TDQ] < 0.05 * error[Choice.INT8_STATIC]


def test_a_time_that_was_not_seen_goes_to_the_nearest_by_ratio(tmp_path: Path) -> None:
    feeds = spread(4, 16)
    source = model([node("Gemm", ["x", "w"], ["y"], "g")], {"x": ["n", 16], "t": ["n"]}, ["y"], {"w": draw(16, 8)})
    prepare(source, tmp_path, feeds, choices=CHOICES, time_input="t")
    candidate = uniform(tmp_path, Choice.TDQ)
    outputs = {
        t: run_candidate(tmp_path, candidate, timed(feeds[0]["x"], t))["y"]
        for t in (*TIMES, 0.0, 0.7, 0.72, 11, 12, 1e9)
    }
    for unseen, step in ((0.0, 0.25), (0.7, 0.25), (0.72, 2.0), (11, 2.0), (12, 64.0), (1e9, 64.0)):
        np.testing.assert_array_equal(outputs[unseen], outputs[step], err_msg=str(unseen))


@pytest.mark.parametrize(("dtype", "shape"), [("int64", ["n"]), ("int32", []), ("float32", [])])
def test_the_time_may_be_an_integer_or_a_scalar(tmp_path: Path, dtype: str, shape: list[str]) -> None:
    source = model(
        [node("Gemm", ["x", "w"], ["y"], "g")],
        {"x": ["n", 16], "t": shape},
        ["y"],
        {"w": draw(16, 8)},
        dtypes={"t": dtype},
    )
    times = [np.full([4] if shape else [], t, dtype=dtype) for t in (0, 500, 999)]
    feeds = [{"x": draw(4, 16, seed=i) * np.float32(10**i), "t": t} for i, t in enumerate(times)]
    prepare(source, tmp_path, feeds, choices=CHOICES, time_input="t")
    for one in feeds:
        exact = run_candidate(tmp_path, uniform(tmp_path, Choice.FP32), one)["y"]
        found = run_candidate(tmp_path, uniform(tmp_path, Choice.TDQ), one)["y"]
        assert np.abs(found - exact).max() < 0.03 * np.abs(exact).max()


def test_one_time_needs_no_table_and_beside_static_all_layers_agree(tmp_path: Path) -> None:
    feeds = [timed(draw(2, 3, 5, 7, seed=i), 1.0) for i in range(3)]
    prepare(picture("Relu"), tmp_path, feeds, choices=CHOICES, time_input="t")
    exact = run_candidate(tmp_path, uniform(tmp_path, Choice.FP32), feeds[0])["y"]
    first, second = (layer.id for layer in read_index(tmp_path / "prepared").layers)
    whole = uniform(tmp_path, Choice.TDQ)
    for choices in ((Choice.TDQ, Choice.TDQ), (Choice.TDQ, Choice.INT8_STATIC), (Choice.INT8_STATIC, Choice.TDQ)):
        mixed = type(whole)(choices=dict(zip((first, second), choices, strict=True)))
        found = run_candidate(tmp_path, mixed, feeds[0])["y"]
        assert np.abs(found - exact).max() < 0.05 * np.abs(exact).max()
        assert not optimised(tmp_path)["Gather"]


def test_a_computed_bias_and_a_transposed_gemm_are_right(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "k", "moved"], ["y"], "conv"),
        node("Mul", ["b", "t0"], ["moved"], "move"),
        node("ReduceMax", ["t"], ["t0"], "one", keepdims=0),
        node("Reshape", ["y", "flat"], ["f"], "reshape"),
        node("Gemm", ["f", "w"], ["z"], "gemm", transA=1),
    ]
    weights = {"k": draw(4, 3, 1, 1), "b": draw(4, seed=1), "flat": np.array([8, -1]), "w": draw(8, 5, seed=3)}
    source = model([nodes[2], nodes[1], nodes[0], *nodes[3:]], {"x": [2, 3, 4, 4], "t": [2]}, ["z"], weights)
    feeds = spread(2, 3, 4, 4)
    prepare(source, tmp_path, feeds, choices=CHOICES, time_input="t")
    for one in feeds:
        exact = run_candidate(tmp_path, uniform(tmp_path, Choice.FP32), one)["z"]
        found = run_candidate(tmp_path, uniform(tmp_path, Choice.TDQ), one)["z"]
        assert np.abs(found - exact).max() < 0.03 * np.abs(exact).max()


def test_what_cannot_follow_the_time_is_refused_by_name(tmp_path: Path) -> None:
    feeds = spread(2, 3, 5, 7)
    with pytest.raises(Unsupported, match="'tdq' needs the model's time input") as refused:
        prepare(picture(), tmp_path, feeds, choices=CHOICES)
    assert "time_input: NAME" in str(refused.value.hint)
    with pytest.raises(ModelError, match="no input 'sigma'") as unknown:
        prepare(picture(), tmp_path, feeds, choices=CHOICES, time_input="sigma")
    assert "x, t" in str(unknown.value.hint)
    with pytest.raises(ModelError, match=r"'x' is \['n', 3, 5, 7\]; expected a scalar"):
        prepare(picture(), tmp_path, feeds, choices=CHOICES, time_input="x")
    mixed = {"x": feeds[0]["x"], "t": np.array([0.25, 2.0], dtype=np.float32)}
    with pytest.raises(DataError, match=r"batch 1 has several times in 't' \(0.25, 2\)"):
        prepare(picture(), tmp_path, [feeds[0], mixed], choices=CHOICES, time_input="t")
    endless = timed(feeds[0]["x"], np.inf)
    with pytest.raises(DataError, match="'t' is inf"):
        prepare(picture(), tmp_path, [endless], choices=CHOICES, time_input="t")
    with pytest.raises(DataError, match="tdq needs calibration samples"):
        prepare(picture(), tmp_path, [], choices=(Choice.FP32, Choice.TDQ), time_input="t")


def test_edges_lie_between_the_times_that_were_seen() -> None:
    def edges(*times: float) -> list[float]:
        return [float(e) for e in edges_between(np.array(times, dtype=np.float32))]

    assert edges(5.0, 5.0) == []
    assert edges(0, 100, 50) == [25.0, 75.0]
    np.testing.assert_allclose(edges(80.0, 0.2, 5.0), [1.0, 20.0], rtol=1e-6)
    close = np.float32(1.0), np.nextafter(np.float32(1.0), np.float32(2.0))
    assert np.searchsorted(edges_between(np.array(close)), close).tolist() == [0, 1]
    many = np.sort(np.random.default_rng(0).lognormal(0, 3, 1000)).astype(np.float32)
    found = edges_between(many)
    assert len(found) == MOST_STEPS - 1
    shares = np.bincount(np.searchsorted(found, many), minlength=MOST_STEPS)
    assert shares.min() >= 30
    assert shares.max() <= 33
    skewed = np.concatenate([np.zeros(900), np.arange(1, 101)]).astype(np.float32)
    assert np.bincount(np.searchsorted(edges_between(skewed), skewed)).min() > 0
