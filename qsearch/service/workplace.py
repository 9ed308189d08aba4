"""What a use-case works with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
    #: this command's own folder, see `own_scratch`
    scratch: Path

    def workshop(self) -> Workshop:
        """Single pieces of work, awaited one at a time."""
        return Workshop(self.pool, self.scratch)
