"""The end of a piece of work bounds every wait in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import WorkFailed
from workers.deadline import deadline, within
from workers.slot_lock import slot_lock


def test_patience_is_cut_at_the_end_of_the_work() -> None:
    now = [100.0]
    assert within(60.0, lambda: now[0]) == 60.0
    with deadline(10.0, lambda: now[0]):
        assert within(60.0, lambda: now[0]) == 10.0
        now[0] = 107.0
        assert (within(60.0, lambda: now[0]), within(2.0, lambda: now[0])) == (3.0, 2.0)
        with deadline(100.0, lambda: now[0]):
            assert within(60.0, lambda: now[0]) == 3.0
        now[0] = 200.0
        assert within(60.0, lambda: now[0]) == 0.0
    assert within(60.0, lambda: now[0]) == 60.0


def test_a_lock_that_others_hold_is_not_waited_for_beyond_it(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with (
        slot_lock(file, exclusive=True, timeout_s=1.0),
        deadline(0.0),
        pytest.raises(WorkFailed, match="held by others") as caught,
        slot_lock(file, exclusive=True, timeout_s=60.0),
    ):
        pytest.fail("two held it")
    assert caught.value.cause is Cause.INFRA
