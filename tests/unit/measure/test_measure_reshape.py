"""Sizes a job wants to be measured at, made from real samples."""

from __future__ import annotations

import numpy as np
import pytest

from qsearch.contracts.errors import DataError, UsageError
from qsearch.measure.reshape import reshape_feeds

INPUTS = {
    "ids": ("int64", ("batch_size", "sequence_length")),
    "mask": ("int64", ("batch_size", "sequence_length")),
    "image": ("float32", ("batch_size", 3, "height", "width")),
}


def _batch(length: int = 3) -> dict[str, np.ndarray]:
    return {
        "ids": np.arange(2 * length).reshape(2, length),
        "mask": np.ones((2, length), np.int64),
        "image": np.arange(2 * 3 * 2 * 2, dtype=np.float32).reshape(2, 3, 2, 2),
    }


def test_sizes_come_in_equal_alternating_shares_of_real_values() -> None:
    out = reshape_feeds([_batch(), _batch(4)], INPUTS, {"sequence": (2, 7)})
    assert [feeds["ids"].shape[1] for feeds in out] == [2, 7, 2, 7]
    np.testing.assert_array_equal(out[0]["ids"], [[0, 1], [3, 4]])
    np.testing.assert_array_equal(out[1]["ids"][0], [0, 1, 2, 0, 1, 2, 0])
    assert all(feeds["mask"].shape == feeds["ids"].shape for feeds in out)
    assert out[0]["image"].shape == (2, 3, 2, 2)


def test_several_axes_are_combined_in_every_way() -> None:
    out = reshape_feeds([_batch()], INPUTS, {"height": (1, 4), "sequence_length": (5,), "width": (3,)})
    assert [feeds["image"].shape for feeds in out] == [(2, 3, 1, 3), (2, 3, 4, 3)]
    assert {feeds["ids"].shape for feeds in out} == {(2, 5)}


def test_no_shapes_leave_the_samples() -> None:
    batch = _batch()
    assert reshape_feeds([batch], INPUTS, {}) == [batch]


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ({"sequense_length": (3,)}, "Did you mean sequence_length"),
        ({"zzz": (3,)}, "not an axis of this model"),
        ({"batch": (3,)}, "is the batch axis"),
        ({"sequence": (0,)}, "at least 1"),
        ({"sequence": ()}, "at least 1"),
        ({"sequence": (3,), "sequence_length": (4,)}, "sequence and sequence_length both mean the axis sequence_l"),
    ],
)
def test_what_cannot_be_resized_is_refused_by_name(shapes: dict[str, tuple[int, ...]], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        reshape_feeds([_batch()], INPUTS, shapes)


def test_an_ambiguous_prefix_names_both() -> None:
    inputs = {"x": ("float32", ("n", "seq_a", "seq_b"))}
    with pytest.raises(UsageError, match="could be seq_a or seq_b"):
        reshape_feeds([{"x": np.zeros((1, 2, 2))}], inputs, {"seq": (3,)})


def test_nothing_to_repeat_is_refused() -> None:
    inputs = {"x": ("float32", ("n", "t"))}
    with pytest.raises(DataError, match="nothing to repeat"):
        reshape_feeds([{"x": np.zeros((1, 0))}], inputs, {"t": (3,)})
    with pytest.raises(DataError, match="expected 2 axes"):
        reshape_feeds([{"x": np.zeros(3)}], inputs, {"t": (3,)})
