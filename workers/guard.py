"""A process that outlives its worker for a moment, to take the worker's children along.

NOTE: a thread of the worker cannot do it. It does not run while native code holds the interpreter,
and it does not run at all when somebody kills the worker alone: the kernel for memory, or Ray, which
kills its actors' direct children and leaves the grandchildren behind.
"""

from __future__ import annotations

import os
import select
import signal

from workers.own_folder import remove_folders_of
from workers.tree import MARK, end_family


def start_guard(lifeline: int) -> None:
    """Fork a process that ends this one and everything it started when either end of the line is gone.

    To be called before the first thread is started.

    Args:
        lifeline: descriptor of a pipe's reading end, whose writing end only the parent holds. Nothing
            is read from it.
    """
    worker = os.getpid()
    theirs, ours = os.pipe()
    if os.fork() == 0:
        try:
            _watch(worker, lifeline, theirs)
        finally:
            os._exit(0)
    os.close(theirs)
    # `ours` stays open, unnamed and not inherited: the kernel closes it when this process ends
    _ENDS.append(ours)


#: writing ends that must live as long as the process
_ENDS: list[int] = []


def _watch(worker: int, lifeline: int, death: int) -> None:
    os.setsid()
    # told with the whole family to end, it does so after the others and their files
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # a copy of the worker's stdout would keep its parent from seeing the end of it
    low, high = sorted((lifeline, death))
    os.closerange(0, low)
    os.closerange(low + 1, high)
    os.closerange(high + 1, os.sysconf("SC_OPEN_MAX"))
    poll = select.poll()
    for line in (low, high):
        # no event asked for: a hang-up is always told, and orders are not ours to read
        poll.register(line, 0)
    while not poll.poll():
        continue
    mark = os.environ.get(MARK, "")
    end_family(worker, mark, grace_s=0.0, spare=(os.getpid(),))
    remove_folders_of(mark)
