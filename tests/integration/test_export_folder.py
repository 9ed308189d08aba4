"""The folder of an export: refused before the long part, and a loader that hangs is a disagreement."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsearch.cluster.memory import MemoryPool
from qsearch.contracts.errors import UsageError
from qsearch.contracts.work import Outcome, Verification, Work
from qsearch.service import exporting
from qsearch.service.workplace import Workplace
from qsearch.store.artifacts import ArtifactStore
from qsearch.store.memory import MemoryLedger
from tests.contract import ledger_samples as samples


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("where", ["a file", "below a file"])
def test_a_folder_that_cannot_be_written_costs_no_measurement(tmp_path: Path, where: str, force: bool) -> None:
    (tmp_path / "file").write_text("mine")
    out = tmp_path / "file" if where == "a file" else tmp_path / "file" / "out"
    ledger = MemoryLedger()
    job = ledger.create_job(samples.spec(), "", "ada")
    lease = ledger.lease(job.id, "driver", 60)
    (trial,) = ledger.add_trials(lease, samples.proposals(1))
    assert ledger.finish(job.id, trial.number, ledger.start(lease, trial.number), samples.measurement())

    def never(work: Work) -> Outcome:
        raise AssertionError(f"{work.key} was begun")

    place = Workplace(
        ledger=ledger, artifacts=ArtifactStore(tmp_path / "a", ledger), pool=MemoryPool(never), scratch=tmp_path / "s"
    )
    with pytest.raises(UsageError, match=r"cannot write into|not an empty folder"):
        exporting.export(place, job, trial.number, out, verify=True, force=force)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_loader_that_hangs_is_a_disagreement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "load.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(exporting, "LOADER_S", 0.3)
    seen = Verification(sha256="", size_bytes=0, measured=None, disagreements=("before",))
    words = exporting._through_loader(tmp_path, seen).disagreements
    assert words == (
        "before",
        "load.py did not end within 0.3 s under session.json",
        "load.py did not end within 0.3 s under default session options",
    )
