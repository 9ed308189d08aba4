"""The local Ray head of a database, as the use-cases see it."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

from qsearch.cluster.file_lock import is_shared, locked
from qsearch.cluster.ray_head import Head, HeadFolder, drivers_of, end_head, ensure_head, living_head
from qsearch.contracts.errors import Unreachable, UsageError
from qsearch.contracts.views import HeadView
from qsearch.spec.settings import Settings, heads_folder
from qsearch.spec.units import parse_time

#: settings that a head's processes must not take from whoever happened to start it
_OURS = ("QSEARCH_DATABASE_URL", "QSEARCH_DATABASE_URL_FILE", "QSEARCH_ARTIFACTS", "QSEARCH_RAY_ADDRESS")
_ALL_THE_SAME = "qsearch head stop -y ends it all the same, and what runs on it."


def folder_of(database: str) -> HeadFolder:
    """Where the papers of a database's head lie. Of this host: a home may be shared by several."""
    return HeadFolder(heads_folder() / f"{socket.gethostname()}-{database}")


def have_head(settings: Settings, database: str) -> tuple[Head, bool]:
    """The head of a database, started when there is none, and whether it was.

    Raises:
        Unreachable: it cannot be started.
    """
    folder = folder_of(database).made()
    # -P: the folder that somebody submits from must not be searched for modules
    keeper = [sys.executable, "-P", "-m", "qsearch", "head", "keep", str(folder.path)]
    idle_s = parse_time(settings.value("head_idle"))
    environment = {name: value for name, value in os.environ.items() if name not in _OURS}
    environment["QSEARCH_DATABASE_URL_FILE"] = str(folder.secret)
    return ensure_head(folder, [*keeper, "--idle-s", f"{idle_s:g}"], environment, settings.value("database_url"))


def keep_head(folder: str, idle_s: float) -> None:
    """Be the process that keeps a head; returns when it has ended. Raises Unreachable."""
    from qsearch.cluster.head_keeper import HeadKeeper

    HeadKeeper(HeadFolder(Path(folder)), idle_s=idle_s).keep()


def head_view(folder: HeadFolder, head: Head | None) -> HeadView | None:
    """What there is to say of a head; of one that does not answer it is not known what runs there."""
    if head is None:
        return None
    drivers: tuple[str, ...] = ()
    answers = True
    try:
        drivers = drivers_of(folder, head)
    except Unreachable:
        answers = False
    return _view(head, drivers, answers=answers, handing_in=is_shared(folder.used))


def _view(head: Head, drivers: tuple[str, ...], *, answers: bool, handing_in: bool) -> HeadView:
    return HeadView(
        pid=head.pid,
        address=head.address,
        dashboard=head.dashboard,
        started=head.started,
        idle_s=head.idle_s,
        drivers=drivers,
        answers=answers,
        handing_in=handing_in,
    )


def present_head(database: str) -> HeadView | None:
    """The head of a database, when one lives, whether it answers or not."""
    folder = folder_of(database)
    return head_view(folder, living_head(folder))


def end_present_head(database: str, *, cut_off: bool) -> HeadView | None:
    """End the head of a database; what it was, None when none lived. See `Desk.end_head`."""
    folder = folder_of(database)
    with ExitStack() as kept:
        if not cut_off:
            # whoever hands in a job holds it, from before the head is started until the driver was handed over
            if not kept.enter_context(locked(folder.made().used)):
                raise _handing_in()
            head = living_head(folder)
            drivers = () if head is None else drivers_of(folder, head)
            if drivers:
                raise UsageError(f"drivers run on the Ray head: {', '.join(drivers)}", _ALL_THE_SAME)
        # its drivers are asked for while there is somebody to ask
        view = present_head(database)
        ended = end_head(folder)
        return view or (None if ended is None else _view(ended, (), answers=True, handing_in=False))


def _handing_in() -> UsageError:
    return UsageError(
        "a job is just being handed in to the Ray head of this database", f"Wait a little. {_ALL_THE_SAME}"
    )
