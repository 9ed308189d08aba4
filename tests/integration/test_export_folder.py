"""The folder of an export: refused before the long part, loaded by the runtime of its target, by its own load.py."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qsearch.cluster.memory import MemoryPool
from qsearch.contracts.errors import UsageError
from qsearch.contracts.job import Job
from qsearch.contracts.measurement import Measurement
from qsearch.contracts.target import Target
from qsearch.contracts.trial import Result
from qsearch.contracts.work import Outcome, Verification, Work
from qsearch.measure.runtimes import settings_of
from qsearch.measure.samples import write_samples
from qsearch.service import exporting
from qsearch.service.workplace import Workplace
from qsearch.spec.targets import find_target
from qsearch.store.artifacts import ArtifactStore
from qsearch.store.memory import MemoryLedger
from tests.acceptance.conftest import write_classifier
from tests.contract import ledger_samples as samples
from workers.verifying import _write_check


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
    words = exporting._through_loader(tmp_path, seen, "default session options").disagreements
    assert words == (
        "before",
        "load.py did not end within 0.3 s under session.json",
        "load.py did not end within 0.3 s under default session options",
    )


@pytest.fixture(scope="module", params=["cpu-1thread", "openvino-1thread", "openvino-2threads"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `export` describes it, around a real file and its outputs on the target's runtime."""
    target, folder = _target(request.param), tmp_path_factory.mktemp("export")
    job, result, measurement = _finished(target)
    out = folder / "out"
    out.mkdir()
    write_classifier(out / "model.onnx", folder / "data.npz", count=8)
    with np.load(folder / "data.npz") as data:
        write_samples(folder / "samples.npz", [{"x": row[None]} for row in data["x"]], {}, [1] * 8)
    _write_check(out / "model.onnx", target, folder / "samples.npz", out / "check.npz", 60.0)
    session = {**settings_of(target), **target.options}
    seen = Verification(sha256="", size_bytes=1, measured=None, disagreements=(), session=session)
    exporting._describe(out, job, result, measurement, seen)
    return out


def _target(name: str) -> Target:
    if name == "openvino-2threads":
        return Target(name=name, runtime="openvino", threads=min(2, len(os.sched_getaffinity(0))))
    return find_target(name, None)


def _finished(target: Target) -> tuple[Job, Result, Measurement]:
    ledger = MemoryLedger()
    job = ledger.create_job(samples.spec(targets=(target,)), "", "ada")
    lease = ledger.lease(job.id, "driver", 60)
    (trial,) = ledger.add_trials(lease, samples.proposals(1, target.name))
    ledger.finish(job.id, trial.number, ledger.start(lease, trial.number), samples.measurement())
    (result,) = ledger.history(job.id, target.name)
    return job, result, samples.measurement()


def test_load_py_loads_what_was_measured_and_checks_it(exported: Path) -> None:
    session = json.loads((exported / "session.json").read_text())
    target = json.loads((exported / "manifest.json").read_text())["target"]
    text, words = (exported / "load.py").read_text(), (exported / "README.md").read_text()
    if target["runtime"] == "openvino":
        assert (session["runtime"], session["device"]) == ("openvino", "CPU")
        assert session["config"]["INFERENCE_PRECISION_HINT"] == "f32"
        assert session["config"].get("INFERENCE_NUM_THREADS", "1") == str(target["threads"])
        assert "onnxruntime" not in text
        assert "sets the properties it was measured with" in words
    else:
        assert session["provider"] == "CPUExecutionProvider"
        assert session["intra_op_num_threads"] == target["threads"]
        assert "openvino" not in text
        assert "sets the session options it was measured with" in words
    seen = Verification(sha256="", size_bytes=0, measured=None, disagreements=())
    assert exporting._through_loader(exported, seen, "defaults").disagreements == ()
    said = subprocess.run([sys.executable, "load.py"], cwd=exported, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout, said.stderr) == (0, "outputs are identical\n", "")


@pytest.mark.parametrize(
    ("doctored", "said"),
    [
        ({"provider": "CUDAExecutionProvider"}, "measured on CUDAExecutionProvider, which onnxruntime"),
        ({"provider_options": {"device_id": "7"}}, "measured with device_id=7 of CPUExecutionProvider, and this"),
    ],
)
def test_load_py_refuses_another_provider_and_options_that_are_dropped(
    exported: Path, tmp_path: Path, doctored: dict[str, object], said: str
) -> None:
    out = Path(shutil.copytree(exported, tmp_path / "out"))
    session = json.loads((out / "session.json").read_text())
    if session.get("runtime") == "openvino":
        pytest.skip("OpenVINO refuses a device and a property that it does not have by itself")
    (out / "session.json").write_text(json.dumps(session | doctored))
    seen = Verification(sha256="", size_bytes=0, measured=None, disagreements=())
    (words,) = exporting._through_loader(out, seen, "defaults").disagreements
    assert words.startswith("load.py failed under session.json: ")
    assert said in words


def test_load_py_refuses_a_session_that_fell_back_and_takes_a_name_in_other_letters(
    exported: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(exported, tmp_path / "out"))
    session = json.loads((out / "session.json").read_text())
    if session.get("runtime") == "openvino":
        pytest.skip("OpenVINO has no other provider to fall back to")
    (out / "session.json").write_text(json.dumps(session | {"provider": "cpuExecutionProvider"}))
    program = (
        "import sys, load; session = load.load(); assert not any(name.startswith('qsearch') for name in sys.modules)\n"
        "assert load.same('1', 'True') and load.same(1.0, '1') and not load.same('0', 'one')\n"
        "load.must_be_used(session, 'QNNExecutionProvider', {})"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=out, capture_output=True, text=True, check=False)
    assert "QNNExecutionProvider, which could not be started: this session runs on ['CPUExec" in done.stderr


def test_other_outputs_are_told_for_both_ways_to_load(exported: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(exported, tmp_path / "out"))
    with np.load(out / "check.npz") as stored:
        kept = dict(stored)
    np.savez(out / "check.npz", **kept | {"out:2:logits": -kept["out:2:logits"]})
    seen = Verification(sha256="", size_bytes=0, measured=None, disagreements=())
    first, second = exporting._through_loader(out, seen, "defaults").disagreements
    assert first.startswith("outputs under session.json differ by up to ")
    assert second.startswith("outputs under defaults differ by up to ")
