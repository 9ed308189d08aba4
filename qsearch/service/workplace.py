"""What a use-case works with."""

from __future__ import annotations

from dataclasses import dataclass

from qsearch.contracts.ledger import Ledger
from qsearch.contracts.pool import Pool
from qsearch.service.workshop import Workshop
from qsearch.store.artifacts import ArtifactStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """The truth, the files and the workers of one desk, while one command lasts."""

    ledger: Ledger
    artifacts: ArtifactStore
    pool: Pool

    def workshop(self, name: str) -> Workshop:
        """Single pieces of work, below a scratch folder of this name."""
        return Workshop(self.pool, self.artifacts.scratch / name)
