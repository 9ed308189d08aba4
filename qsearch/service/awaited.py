"""The driver that a submitted job waits for, while nobody has driven the job yet."""

from __future__ import annotations

import time
from collections.abc import Callable

from qsearch.cluster.ray_head import drivers_of, living_head, was_handed
from qsearch.contracts.errors import Unreachable
from qsearch.contracts.job import Job
from qsearch.service.heading import folder_of

#: how often Ray is asked, seconds: its server works where the job before may be measuring
ASK_S = 15.0


class AwaitedDriver:
    """Looks after the drivers that this host's local head is to start for jobs of one database."""

    def __init__(self, database: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder_of(database)
        self._clock = clock
        self._asked = float("-inf")

    def is_lost(self, job: Job) -> bool:
        """Whether the job was handed to the local head of this host, and the head or the driver is gone.

        False where that cannot be known: of a job that another cluster or host has, of a head that does
        not answer. A driver that has taken the job meanwhile may count as lost; the job's epoch tells.
        """
        submission = f"{job.id}-{job.epoch + 1}"
        if not was_handed(self._folder, submission):
            return False
        head = living_head(self._folder)
        if head is None:
            return True
        if self._clock() - self._asked < ASK_S:
            return False
        self._asked = self._clock()
        try:
            return submission not in drivers_of(self._folder, head)
        except Unreachable:
            return False
