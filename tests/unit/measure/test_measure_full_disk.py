"""A full disk told from everything else that fails. The device /dev/full is as full as a disk can be."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import DataError, WorkFailed
from qsearch.measure import full_disk
from qsearch.measure.full_disk import full_disk_named, has_room, is_full_disk


def _write_to_a_full_device() -> None:
    try:
        with open("/dev/full", "wb", buffering=0) as device:
            device.write(b"x")
    except OSError as error:
        raise DataError("the samples cannot be written") from error


def test_the_number_is_found_behind_what_it_was_translated_to(tmp_path: Path) -> None:
    with pytest.raises(WorkFailed, match=f"is left on the disk of {tmp_path}") as failed, full_disk_named(tmp_path):
        _write_to_a_full_device()
    assert failed.value.cause is Cause.DISK_FULL


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_another_failure_stays_what_it_is(tmp_path: Path, number: int) -> None:
    with pytest.raises(OSError, match="other") as failed, full_disk_named(tmp_path, tmp_path / "absent"):
        raise OSError(number, "other")
    assert not is_full_disk(failed.value)


def test_a_failure_without_a_number_while_there_is_no_room_is_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full_disk, "has_room", lambda folder: False)
    with pytest.raises(WorkFailed) as failed, full_disk_named(tmp_path):
        raise RuntimeError("native code cannot write")
    assert failed.value.cause is Cause.DISK_FULL


def test_what_was_named_further_down_keeps_its_words(tmp_path: Path) -> None:
    with pytest.raises(WorkFailed, match="there"), full_disk_named(tmp_path):
        raise WorkFailed(Cause.DISK_FULL, "no space is left there")


def test_room_is_tried_and_the_trial_leaves_nothing(tmp_path: Path) -> None:
    assert has_room(tmp_path)
    assert not list(tmp_path.iterdir())
    assert has_room(tmp_path / "absent"), "what is not there is not full"
