"""The kernel's own counter of kills for memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.oom import kernel_oom_kills


@pytest.mark.parametrize(
    ("text", "kills"),
    [
        ("nr_free_pages 5\noom_kill 7\nother 9\n", 7),
        ("nr_free_pages 5\noom_kill_other 9\n", 0),
        ("oom_kill many\n", 0),
        ("\n", 0),
    ],
)
def test_the_counter_is_found_by_its_name(tmp_path: Path, text: str, kills: int) -> None:
    (tmp_path / "vmstat").write_text(text)
    assert kernel_oom_kills(tmp_path / "vmstat") == kills


def test_where_the_kernel_does_not_say_it_is_none(tmp_path: Path) -> None:
    assert kernel_oom_kills(tmp_path / "vmstat") == 0
    assert kernel_oom_kills() >= 0
