"""The port that decides what to measure next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from qsearch.contracts.candidate import Candidate
from qsearch.contracts.trial import Proposal, Result, Trial


class Proposer(Protocol):
    """Proposes candidates for one job and one target.

    Promises: pure but for its seed (job seed, trial number): the same history and pending trials
    give the same answer, on any machine, in a fresh process. Never proposes what a layer's `choices`
    do not hold, and honours pins. The uniform candidates come first. Not thread-safe.
    """

    def propose(
        self, n: int, history: Sequence[Result], pending: Sequence[Trial], *, number: int
    ) -> Sequence[Proposal]:
        """Up to n candidates; fewer, or none, when the space is exhausted.

        Args:
            n: how many are wanted, ≥ 1.
            history: the finished trials of this target, by number.
            pending: trials queued, running or failed: not to be proposed again.
            number: the trial number that the first of them will get; seeds the draw.
        """
        ...

    def explain(self, candidate: Candidate) -> str:
        """One sentence on why this candidate was proposed."""
        ...
