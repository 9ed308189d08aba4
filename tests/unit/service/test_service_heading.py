"""Ending the local Ray head while somebody hands in a job: refused, unless it was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsearch.cluster.ray_head import held
from qsearch.contracts.errors import UsageError
from qsearch.service.heading import end_present_head, folder_of


def test_a_head_that_a_submit_is_starting_is_not_ended_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with held(folder_of("d")):
        with pytest.raises(UsageError, match="just being handed in") as told:
            end_present_head("d", cut_off=False)
        assert "qsearch head stop -y" in told.value.hint
        assert end_present_head("d", cut_off=True) is None
    assert end_present_head("d", cut_off=False) is None
