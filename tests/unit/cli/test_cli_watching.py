"""Progress: a plain line now and then off a terminal, a live table on one."""

from __future__ import annotations

import io
import json

import report_records as records
from rich.console import Console

from qsearch.cli.drawing import needed_width, roomy
from qsearch.cli.main import main
from qsearch.cli.watching import PlainLines, live_view
from qsearch.contracts.job import JobState
from qsearch.report.trials import fronts_answer


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_line_at_the_start_then_every_five_percent() -> None:
    said: list[str] = []
    lines = PlainLines(said.append, Clock())
    for done in range(101):
        lines(records.progress(done, budget=100))
    assert len(said) == 21


def test_a_line_every_thirty_seconds_when_nothing_ends() -> None:
    said: list[str] = []
    clock = Clock()
    lines = PlainLines(said.append, clock)
    for _ in range(61):
        lines(records.progress(1))
        clock.now += 1.0
    assert len(said) == 3


def test_a_line_when_the_job_enters_another_state() -> None:
    said: list[str] = []
    lines = PlainLines(said.append, Clock())
    lines(records.progress(1))
    lines(records.progress(1, job=records.job(state=JobState.FINALIZING)))
    assert "finalizing" in said[1]


def test_the_live_table_says_what_matters_and_obeys_nobody() -> None:
    out = io.StringIO()
    Console(file=out, width=120, markup=False).print(live_view(records.progress(doing="\x1b[2Jtrial 13")))
    text = out.getvalue()
    for part in ("minilm (j1)", "12/30", "12 done, 1 running", "1 min 30 s to go", "1.60× [1.57, 1.63]", "trial 13"):
        assert part in text
    assert "\x1b" not in text


def test_columns_that_can_be_spared_go_first_and_nothing_is_cut() -> None:
    table = fronts_answer([records.front()]).tables[0]
    assert roomy(table, 240) == table
    narrow = roomy(table, 80)
    assert not {"p50", "size", "layers"} & set(narrow.columns)
    assert {"trial", "speed-up", "remarks"} <= set(narrow.columns)
    assert all(len(line.cells) == len(narrow.columns) for line in narrow.lines)
    assert needed_width(narrow) < needed_width(table)


def test_a_live_run_on_a_terminal_leaves_stdout_alone(desk, monkeypatch, capsys) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    desk.opened += 1
    assert main(["run", "s.yaml", "--json"], desk_factory=lambda flags: desk) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "qsearch.status/1"
    assert "best so far" in screen.getvalue()
