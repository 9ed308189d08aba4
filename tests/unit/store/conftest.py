"""Fixtures of the store's tests; the sample records live beside the ledger's contract suite."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "contract"))

from qsearch.store.opening import open_ledger
from qsearch.store.sql_ledger import SqlLedger


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture
def ledger(url: str) -> Iterator[SqlLedger]:
    made = open_ledger(url)
    yield made
    made.close()
