"""A running job on stderr: a live table on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qsearch.cli.session import Session, note

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from qsearch.contracts.desk import Watcher
    from qsearch.contracts.views import Progress

#: seconds between two plain lines, at most
EVERY_S = 30.0
#: share of the budget between two plain lines, at most
EVERY_SHARE = 0.05


@contextmanager
def watching(session: Session) -> Iterator[Watcher]:
    """The watcher that suits stderr."""
    if not sys.stderr.isatty():
        yield PlainLines(note, time.monotonic)
        return
    from rich.live import Live

    from qsearch.cli.output import console_for

    console = console_for(session, sys.stderr)
    with Live(
        console=console, transient=True, refresh_per_second=4, redirect_stdout=False, redirect_stderr=False
    ) as live:
        yield LiveTable(live)


class PlainLines:
    """One line at the start, at every new state of the job, each 5 % of the budget or 30 s."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._say = say
        self._clock = clock
        self._said_at = float("-inf")
        self._share = 0.0
        self._state = ""

    def __call__(self, progress: Progress) -> None:
        from qsearch.report.progress import fraction_done, progress_line

        now, share, state = self._clock(), fraction_done(progress), progress.job.state.value
        # NOTE: shares are sums of whole trials, and 1 of 20 must count as 5 %.
        enough = share - self._share >= EVERY_SHARE - 1e-9
        if state == self._state and not enough and now - self._said_at < EVERY_S:
            return
        self._say(progress_line(progress))
        self._said_at, self._share, self._state = now, share, state


class LiveTable:
    """The last progress as a table that is drawn over itself."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def __call__(self, progress: Progress) -> None:
        self._live.update(live_view(progress, self._live.console.width))


def live_view(progress: Progress, width: int = 120) -> RenderableType:
    """Job, bar, trials by state, time to go, and the best so far per target; for so many columns."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    from qsearch.cli.drawing import rich_table, roomy
    from qsearch.report.escaping import visible
    from qsearch.report.numbers import duration
    from qsearch.report.progress import ended_trials, leaders_table, states_text

    done = ended_trials(progress)
    name = Text(visible(f"{progress.job.name} ({progress.job.id})  "), style="bold")
    how_far = Table.grid(padding=(0, 2))
    how_far.add_row(
        ProgressBar(total=max(progress.budget, 1), completed=done, width=min(30, max(5, width - 45))),
        Text(f"{done}/{progress.budget}"),
        Text(f"{duration(progress.elapsed_s)} gone, {duration(progress.eta_s)} to go"),
    )
    parts: list[RenderableType] = [name.append(progress.job.state.value, style="not bold"), how_far]
    parts.append(Text(f"trials: {states_text(progress)}"))
    if progress.leaders:
        parts.append(rich_table(roomy(leaders_table(progress), width)))
    if progress.doing:
        parts.append(Text(visible(progress.doing), style="dim"))
    return Group(*parts)
