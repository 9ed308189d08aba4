"""submit, watch, cancel and the local Ray head, all through the real command line on one real Ray.

NOTE: nothing here touches Ray in this process: its native part remembers the first token that it saw.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance.conftest import QSEARCH, environment, write_classifier

pytestmark = [pytest.mark.ray, pytest.mark.noisy, pytest.mark.timeout(600)]
SPEC = """\
name: mine
model: {path: model.onnx}
data: {path: samples.npz}
metric: top1
constraints: {drop: 5%}
targets: [this-machine]
search: {trials: 60, seed: 0, finalists: 1}
precision: quick
"""
#: seconds without a job after which the head of this module ends
IDLE_S = 10


class Project:
    """A person's folder, and the command line in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "qsearch.toml").write_text(f'head_idle = "{IDLE_S}s"\n')
        (folder / "mine.yaml").write_text(SPEC)
        write_classifier(folder / "model.onnx", folder / "samples.npz")

    def start(self, *words: str, **changes: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [QSEARCH, *words],
            cwd=self.folder,
            env=environment(self.folder.parent) | changes,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *words: str, **changes: str) -> subprocess.CompletedProcess[str]:
        with self.start(*words, **changes) as ran:
            out, err = ran.communicate(timeout=300)
        return subprocess.CompletedProcess(words, ran.returncode, out, err)

    def told(self, *words: str) -> dict[str, Any]:
        ran = self(*words, "--json")
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    def processes(self, *words: str) -> list[psutil.Process]:
        """Live processes of this person whose command has these words."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                mine = process.environ().get("HOME") == str(self.folder.parent)
                if mine and process.status() != psutil.STATUS_ZOMBIE and set(words) <= set(process.cmdline()):
                    found.append(process)
        return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One project for the module, and so one head; nothing of it outlives the module."""
    made = Project(tmp_path_factory.mktemp("home") / "project")
    yield made
    made("head", "stop", "-y")
    assert eventually(lambda: not made.processes()), [p.cmdline() for p in made.processes()]


def test_submit_and_wait_is_run_on_a_head_of_our_own(project: Project) -> None:
    done = project("submit", "mine.yaml", "--trials", "2", "--fast", "--wait", "--json")
    # 9: the machine was too busy for the one quantized trial to be judged
    assert done.returncode in (0, 9), done.stderr
    status = json.loads(done.stdout)
    assert (status["schema"], status["state"], status["trials"]) == ("qsearch.status/1", "DONE", {"DONE": 2})
    assert status["bests"]
    assert "searching" in done.stderr
    assert "qsearch head stop" in done.stderr
    assert (f"qsearch export {status['job']}/best" in done.stderr) == (done.returncode == 0)


@pytest.mark.slow
def test_jobs_take_turns_and_whatever_is_killed_can_be_gone_on_with(project: Project) -> None:
    first = project.told("submit", "mine.yaml")
    assert first["driven"]
    (head,) = project.told("head", "show")["heads"]
    second = project.told("submit", "mine.yaml", "--trials", "1", "--fast", "--timeout", "1s")
    assert not second["driven"], "its turn comes when the slot is free"
    (same,) = project.told("head", "show")["heads"]
    assert same["pid"] == head["pid"]
    assert set(same["drivers"].split(",")) == {f"{first['job']}-1", f"{second['job']}-1"}
    _assert_closed_to_others(project, head)
    with project.start("watch", first["job"]) as watching, project.start("watch", first["job"]) as leaving:
        _refused_for_another_database(project, head)
        leaving.send_signal(signal.SIGINT)
        assert leaving.wait(30) == 130
        assert "goes on" in leaving.stderr.read()  # type: ignore[union-attr]
        cancelled = project.told("cancel", first["job"], "-y", "--wait")
        assert (cancelled["state"], cancelled["driver"]) == ("CANCELLED", None)
        assert watching.wait(30) == 5
    assert eventually(lambda: not project.processes("drive", first["job"]))
    _killed_replaced_and_resumed(project, second["job"], head)
    assert eventually(lambda: not project.processes("head", "keep")), "an idle head ends by itself"


def _assert_closed_to_others(project: Project, head: dict[str, Any]) -> None:
    """Loopback only, a token demanded, and no secret in any command line."""
    (folder,) = (project.folder.parent / "data" / "qsearch" / "heads").iterdir()
    assert folder.stat().st_mode & 0o77 == 0
    for secret in ("token", "database-url"):
        assert (folder / secret).stat().st_mode & 0o77 == 0
    token = (folder / "token").read_text()
    ours = project.processes()
    assert not [p.cmdline() for p in ours if any(token in word or "sqlite:" in word for word in p.cmdline())]
    pids = {p.pid for p in ours}
    listening = {c.laddr.ip for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.pid in pids}
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}
    open_ = project("--ray-address", head["dashboard"], "submit", "mine.yaml", RAY_AUTH_MODE="disabled")
    assert open_.returncode == 8
    assert "uthenticat" in open_.stderr


def _refused_for_another_database(project: Project, head: dict[str, Any]) -> None:
    """A driver whose host names another database than the submitter's says so to the submitter."""
    (folder,) = (project.folder.parent / "data" / "qsearch" / "heads").iterdir()
    other = ["--database-url", f"sqlite:///{project.folder.parent}/other.db", "--ray-address", head["dashboard"]]
    refused = project(*other, "submit", "mine.yaml", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(folder / "token"))
    assert refused.returncode == 8, refused.stdout
    assert "the driver's database is another one" in refused.stderr
    assert "stays QUEUED; " in refused.stderr
    assert "qsearch resume" in refused.stderr
    assert json.loads(project(*other, "jobs", "--json").stdout)["jobs"][0]["state"] == "QUEUED"


def _killed_replaced_and_resumed(project: Project, job: str, head: dict[str, Any]) -> None:
    """Nothing of a killed head goes on beside its successor; `resume` drives a job of it here, to its end."""
    with project.start("watch", job) as watching:
        assert eventually(lambda: project.told("status", job)["driver"])
        psutil.Process(head["pid"]).kill()
        third = project.told("submit", "mine.yaml")
        (other,) = project.told("head", "show")["heads"]
        assert (other["pid"] != head["pid"], other["drivers"]) == (True, f"{third['job']}-1")
        assert watching.wait(60) == 5
        assert f"qsearch resume {job}" in watching.stderr.read()  # type: ignore[union-attr]
    assert not project.processes("drive", job)
    assert project.told("cancel", third["job"], "-y", "--wait")["state"] == "CANCELLED"
    resumed = project("resume", job, "--json")
    # 9: this machine was too busy to judge anything
    assert resumed.returncode in (0, 9), resumed.stderr
    status = json.loads(resumed.stdout)
    assert (status["state"], status["trials"], status["epoch"]) == ("DONE", {"DONE": 1}, 2)


def eventually(holds: Callable[[], bool], patience_s: float = 60.0) -> bool:
    until = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.3)
    return True
