"""What an export into a folder that is in use leaves there, and what goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from driver_world import World

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import QSearchError, WorkFailed
from qsearch.contracts.work import Outcome, Verification, VerifyOrder, Work
from qsearch.service.driver import Driver
from qsearch.service.exporting import export


class ExportingWorld(World):
    """The world in which a trial can be written as a file."""

    broken = False

    def _answer(self, work: Work) -> Outcome:
        if not isinstance(work.order, VerifyOrder):
            return super()._answer(work)
        assert work.order.fp32_s == 1.0, "as its trial's: it is waited for as long"
        if self.broken:
            raise WorkFailed(Cause.BAD_MODEL, "it cannot be written")
        folder = Path(work.scratch) / "export"
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_text(work.key)
        return self._done(work, Verification(sha256="0", size_bytes=1, measured=None, disagreements=()))


def test_force_takes_what_another_trial_has_left_and_nothing_of_anybody_elses(tmp_path: Path) -> None:
    world, out = ExportingWorld(tmp_path), tmp_path / "out"
    job = world.job(trials=2)
    with world.place() as place:
        Driver(place, lambda progress: None).drive(job)
        export(place, job, 0, out, verify=False, force=False)
        # of an export of trial 0 with --verify, of a model above 2 GiB
        for name in ("verification.json", "model.onnx.data", "mine.txt"):
            (out / name).write_text("of trial 0")
        export(place, job, 1, out, verify=False, force=True)
    there = {file.name for file in out.iterdir()}
    assert {"verification.json", "model.onnx.data"}.isdisjoint(there)
    assert (out / "mine.txt").read_text() == "of trial 0"
    assert json.loads((out / "manifest.json").read_text())["trial"] == f"{job.id}/1"
    assert (out / "model.onnx").read_text() == f"{job.id}/verify:1"


def test_an_export_that_fails_takes_nothing(tmp_path: Path) -> None:
    world, out = ExportingWorld(tmp_path), tmp_path / "out"
    job = world.job(trials=2)
    with world.place() as place:
        Driver(place, lambda progress: None).drive(job)
        export(place, job, 0, out, verify=False, force=False)
        before = {file.name: file.read_bytes() for file in out.iterdir()}
        world.broken = True
        with pytest.raises(QSearchError, match="cannot be written"):
            export(place, job, 1, out, verify=False, force=True)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
