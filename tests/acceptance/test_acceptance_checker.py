"""The checker of the kill loops sees what it is there to see: every kind of damage, done to a clean job's rows."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.acceptance.checker import Books
from tests.acceptance.fire import Site, record_made_up, write_deep_classifier

TRIALS = 6
#: what was done → what the checker must say
DAMAGE = {
    "UPDATE jobs SET state = 'SEARCHING'": "the job is SEARCHING",
    "UPDATE trials SET state = 'FAILED' WHERE number = 2": "trial 2 is FAILED",
    "UPDATE trials SET candidate = (SELECT t.candidate FROM trials t WHERE t.number = 0)": "was asked for twice",
    "DELETE FROM trials WHERE number = 5": "numbers with holes",
    "DELETE FROM measurements WHERE number = 1": "the digests in the log are not those",
    "DELETE FROM job_events WHERE seq = 9": "the log has holes",
    "UPDATE job_events SET epoch = 3 WHERE seq = 4": "an epoch wrote after its successor",
    "UPDATE job_events SET epoch = 2 WHERE kind = 'leased'": "leases are not numbered",
    "UPDATE job_events SET data = replace(data, '\"first\":3', '\"first\":2')": "asked for [0, 1, 2, 2",
    "UPDATE job_events SET data = replace(data, '\"trial\":3', '\"trial\":2')": "trial 2 was accepted twice",
    "UPDATE job_events SET kind = 'requeued' WHERE kind = 'accepted'": "in the rows, requeued in the log",
    "UPDATE attempts SET outcome = 'running' WHERE number = 3": "still runs",
    "UPDATE measurements SET record = (SELECT m.record FROM measurements m WHERE m.number = 0 AND m.role = 'trial')": (
        "the measurement of trial 1 is not what was accepted"
    ),
    "UPDATE measurements SET digest = 'same'": "1 distinct measurements for 6 trials",
    "DELETE FROM fronts WHERE number = 4": "the front knows trials",
    "DELETE FROM bests": "there is no best",
}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a job that nothing happened to."""
    project = tmp_path_factory.mktemp("clean") / "project"
    project.mkdir()
    (project / "qsearch.toml").write_text("")
    write_deep_classifier(project)
    with Site(project) as site:
        site.write_spec(TRIALS)
        record_made_up(site, project / "recording")
        done = site.run("run", "fire.yaml", "--pool", "replay:recording")
    assert done.returncode == 0, done.stderr
    return project / ".qsearch" / "qsearch.db"


def test_a_clean_job_has_no_complaints(clean: Path) -> None:
    with Books(f"sqlite:///{clean}") as books:
        assert books.complaints(TRIALS) == []
        assert books.complaints(TRIALS + 1) != []


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named(clean: Path, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "damaged.db"
    shutil.copy(clean, copy)
    with sqlite3.connect(copy) as database:
        database.execute(damage)
    database.close()
    with Books(f"sqlite:///{copy}") as books:
        assert any(DAMAGE[damage] in complaint for complaint in books.complaints(TRIALS)), books.complaints(TRIALS)
