"""What can be known of drivers and heads without a Ray: the shell's line, the passport, environments, locks."""

from __future__ import annotations

import json
import os
import shlex
import stat
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qsearch.cluster.file_lock import is_locked, locked
from qsearch.cluster.head_keeper import ray_environment
from qsearch.cluster.ray_head import Head, HeadFolder, end_head, ensure_head, find_head, read_papers, write_papers
from qsearch.cluster.ray_jobs import Passport, Submitted, entrypoint, this_submission
from qsearch.contracts.errors import Unreachable, Unsupported, UsageError

PASSPORT = Passport(database="d" * 32, place="alpha/boot", artifacts="/a", travelled="no")


def submitted(**metadata: str) -> dict[str, str]:
    told = {"job_submission_id": "06fbk3c1xn2q-3", **asdict(PASSPORT), **metadata}
    return {"RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps({"runtime_env": {}, "metadata": told})}


def test_the_line_for_the_shell_holds_the_job_s_id_and_our_own_words() -> None:
    line = entrypoint("06fbk3c1xn2q", travelled=False)
    assert line.count("qsearch drive 06fbk3c1xn2q") == 2
    assert shlex.quote(sys.executable) in line
    assert " -E " not in line
    assert " -E -P " in entrypoint("06fbk3c1xn2q", travelled=True)


@pytest.mark.parametrize("job", ["j; rm -rf /", "$(x)", "a b", "", "é"])
def test_what_is_no_id_never_reaches_a_shell(job: str) -> None:
    with pytest.raises(UsageError, match="expected the id of a job"):
        entrypoint(job, travelled=False)


def test_a_driver_reads_its_passport() -> None:
    found = this_submission(submitted())
    assert found == Submitted(job="06fbk3c1xn2q", epoch=3, passport=PASSPORT)


@pytest.mark.parametrize(
    "environment",
    [{}, {"RAY_JOB_CONFIG_JSON_ENV_VAR": "{"}, {"RAY_JOB_CONFIG_JSON_ENV_VAR": "{}"}, submitted(job_submission_id="x")],
)
def test_a_process_that_submit_did_not_start_is_told_so(environment: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="drive is what submit starts inside Ray"):
        this_submission(environment)


def test_a_head_s_environment_leads_to_no_other_cluster_and_demands_its_own_token(tmp_path: Path) -> None:
    given = {
        "PATH": "/bin",
        "RAY_ADDRESS": "10.0.0.1:6379",
        "RAY_AUTH_TOKEN": "other",
        "RAY_AUTH_MODE": "disabled",
        "RAY_worker_niceness": "19",
    }
    made = ray_environment(given, tmp_path / "token")
    assert made["PATH"] == "/bin"
    assert "RAY_ADDRESS" not in made
    assert "RAY_AUTH_TOKEN" not in made
    assert (made["RAY_AUTH_MODE"], made["RAY_AUTH_TOKEN_PATH"]) == ("token", str(tmp_path / "token"))
    assert (made["RAY_worker_niceness"], made["RAY_USAGE_STATS_ENABLED"]) == ("0", "0")


def test_a_lock_is_seen_and_dies_with_its_process(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    assert not is_locked(file)
    script = (
        "import sys, time; from pathlib import Path; from qsearch.cluster.file_lock import locked\n"
        "with locked(Path(sys.argv[1])) as got: print(got, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(file)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert is_locked(file)
        with locked(file) as got:
            assert not got
        holder.kill()
    with locked(file) as got:
        assert got
        with locked(file, shared=True, patience_s=0.05) as second:
            assert not second
    with locked(file, shared=True) as one, locked(file, shared=True) as two:
        assert one
        assert two


def test_the_folder_of_a_head_is_closed_to_others(tmp_path: Path) -> None:
    made = HeadFolder(tmp_path / "a" / "b").made()
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o700
    (tmp_path / "file").touch()
    with pytest.raises(Unreachable, match="cannot be used for a Ray head"):
        HeadFolder(tmp_path / "file").made()


def test_papers_of_a_keeper_that_has_died_are_no_head(tmp_path: Path) -> None:
    folder = HeadFolder(tmp_path)
    assert find_head(folder) is None
    head = Head(
        pid=os.getpid(),
        address="127.0.0.1:1",
        dashboard="http://127.0.0.1:1",
        scratch=str(tmp_path / "s"),
        mark="m",
        started=datetime.now(UTC),
        idle_s=300.0,
    )
    write_papers(folder, head)
    assert read_papers(folder) == head
    assert find_head(folder) is None
    assert end_head(folder) is None, "this very process is named there, and lives"
    folder.papers.write_text("{")
    assert read_papers(folder) is None


def test_a_keeper_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('error: no room for a Ray')"]
    with pytest.raises(Unreachable, match="no Ray head could be started: no room for a Ray"):
        ensure_head(HeadFolder(tmp_path), command, os.environ, "secret")
    assert stat.S_IMODE(HeadFolder(tmp_path).secret.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("ray://127.0.0.1:10001", Unsupported, "address of the Ray client"),
        ("http://192.0.2.1:8265", Unsupported, "token authentication is off"),
        ("192.0.2.1:6379", Unsupported, "token authentication is off"),
        ("http://127.example.net:8265", Unsupported, "token authentication is off"),
        ("http://ann:secret@127.0.0.1:8265", Unsupported, "holds no user and no password"),
        ("ray://ann:secret@127.0.0.1:10001", Unsupported, "holds no user and no password"),
        ("http://127.0.0.1:1", Unreachable, "no Ray cluster at 127.0.0.1:1"),
    ],
)
def test_an_address_is_looked_at_before_ray_is_loaded(
    address: str, error: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qsearch.cluster.ray_jobs import RayJobs

    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with pytest.raises(error, match=said) as refused:
        RayJobs(address)
    assert "secret" not in str(refused.value)
