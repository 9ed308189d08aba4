"""Full disks and damaged files: named, with what to do; nothing accepted is lost, and `resume` finishes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.fire import Site, record_made_up, wait_for, write_deep_classifier
from tests.acceptance.small_disk import SmallDisk


@pytest.fixture
def site(project: Path) -> Iterator[Site]:
    write_deep_classifier(project)
    with Site(project) as found:
        yield found


@pytest.mark.mounts
def test_a_database_whose_disk_fills_up_loses_nothing_that_was_accepted(site: Site, tmp_path: Path) -> None:
    trials = 20
    disk = SmallDisk(site.project / ".qsearch", 1200)
    (tmp_path / "elsewhere").mkdir()
    site.environment["QSEARCH_ARTIFACTS"] = str(tmp_path / "elsewhere")
    site.write_spec(trials)
    record_made_up(site, tmp_path / "recording")
    pool = ("--pool", f"replay:{tmp_path}/recording")
    full = site.run("run", "fire.yaml", *pool)
    _must_say_that_it_is_full(full, "database", "qsearch resume")
    with site.books() as books:
        before = books.accepted()
        print(f"full after {len(before)} trials")
        assert 0 < len(before) < trials, "it must fill up in the middle"
        again = site.run("resume", "@last", *pool)
        _must_say_that_it_is_full(again, "database", "qsearch resume")
        disk.grow(64 * 1024)
        done = site.run("resume", "@last", *pool)
        assert done.returncode == 0, done.stderr
        assert books.complaints(trials) == []
        after = books.accepted()
    assert {number: after[number] for number in before} == before
    site.assert_nothing_is_left()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.mounts
@pytest.mark.noisy
def test_an_artifact_folder_without_room_is_named_and_the_job_goes_on_when_there_is(site: Site) -> None:
    disk = SmallDisk(site.project / ".qsearch" / "artifacts", 64)
    site.write_spec(1)
    full = site.run("run", "fire.yaml")
    _must_say_that_it_is_full(full, str(disk.folder), "qsearch resume")
    disk.fill()
    _must_say_that_it_is_full(site.run("resume", "@last"), str(disk.folder), "")
    disk.grow(64 * 1024)
    _resumed(site, 1)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.mounts
@pytest.mark.noisy
@pytest.mark.parametrize("what", ["artifacts", "temporary"])
def test_a_disk_that_fills_up_between_two_trials_stops_the_job_and_fails_no_trial(
    site: Site, tmp_path: Path, what: str
) -> None:
    artifacts = SmallDisk(site.project / ".qsearch" / "artifacts", 16 * 1024)
    temporary = SmallDisk(tmp_path / "tmp", 16 * 1024)
    site.environment["TMPDIR"] = str(temporary.folder)
    site.write_spec(6)
    driver = site.start("run", "fire.yaml")
    disk = artifacts if what == "artifacts" else temporary
    with site.books() as books:
        wait_for(lambda: books.count("accepted") >= 2, "no trial is done")
        # a few bytes are left: who finds none at all may put its temporary files elsewhere
        disk.fill(leave_kib=4 if what == "temporary" else 0)
        driver.wait(600)
        said = site.log.read_text()
        _must_say_that_it_is_full(subprocess.CompletedProcess([], driver.returncode, "", said), str(disk.folder), "")
        assert set(books.causes()) <= {"polluted"}, "a full disk is no failure of a trial"
        before = books.accepted()
        assert before
        disk.grow(16 * 1024)
        _resumed(site, 6)
        after = books.accepted()
    assert {number: after[number] for number in before} == before


def test_a_file_of_the_store_that_was_cut_short_is_named_and_made_again(site: Site, tmp_path: Path) -> None:
    site.write_spec(20)
    record_made_up(site, tmp_path / "recording")
    pool = ("--pool", f"replay:{tmp_path}/recording")
    driver = site.start("run", "fire.yaml", *pool)
    with site.books() as books:
        wait_for(lambda: books.count("accepted") >= 2, "no trial is done", pause_s=0.005)
        driver.kill()
        driver.wait()
        before = books.accepted()
        kept = [f for f in (site.project / ".qsearch/artifacts").rglob("model.onnx") if "scratch" not in f.parts]
        assert kept, "the prepared model is in the store"
        for file in kept:
            file.write_bytes(file.read_bytes()[:1])
        done = site.run("resume", "@last", *pool)
        assert done.returncode == 0, done.stderr
        assert books.complaints(20) == []
        after = books.accepted()
        (damage,) = [event.data["message"] for event in books.events() if event.kind == "damaged"]
    assert {number: after[number] for number in before} == before
    assert "is damaged: expected" in damage
    assert damage in done.stdout, "who reads the answer must learn of it"


def _resumed(site: Site, trials: int) -> None:
    done = site.run("resume", "@last")
    assert done.returncode == 0, done.stderr
    with site.books() as books:
        assert books.complaints(trials) == []
    site.assert_nothing_is_left()


def _must_say_that_it_is_full(done: subprocess.CompletedProcess[str], what: str, advice: str) -> None:
    assert done.returncode == 8, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr
    error = done.stderr[done.stderr.rindex("error:") :]
    assert "full" in error or "no space" in error.lower(), error
    assert what in error
    assert advice in error
    assert len(error.strip().splitlines()) <= 3, error
    print(error)
