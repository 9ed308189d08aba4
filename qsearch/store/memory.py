"""The ledger's twin in memory: the same promises but durability, for tests and dry runs."""

from __future__ import annotations

from qsearch.store.memory_jobs import MemoryJobs
from qsearch.store.memory_preparation import MemoryPreparation
from qsearch.store.memory_results import MemoryResults
from qsearch.store.memory_state import MemoryState
from qsearch.store.memory_trials import MemoryTrials
from qsearch.store.transaction import Shift, no_shift


class MemoryLedger(MemoryJobs, MemoryPreparation, MemoryTrials, MemoryResults):
    """`Ledger` in this process; what it holds is gone with it. Thread-safe.

    Args:
        shift_s: seconds to add to the clock; for tests that move time.
    """

    def __init__(self, *, shift_s: Shift = no_shift) -> None:
        self._state = MemoryState(shift_s)

    def close(self) -> None:
        """Nothing to close."""
