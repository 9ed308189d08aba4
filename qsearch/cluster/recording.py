"""Work and outcomes on disk: written beside any pool, answered again without a machine.

    FILE                 JSON lines: {"recording": 1, "slots": [...]}, then {"work": ..., "outcome": ...}
    FILE.files/DIGEST/   what a piece left in its scratch folder (splits, prepared, export)

NOTE: a piece is found again by what was asked, not by when: kind, order without paths, target and
candidate in it. The seed of a measurement is left out, because it decides only which arm starts and
a replay cannot start one; the seed that deals data counts. So is what was known of the machine's luck,
which another database knows otherwise, and how long a part of the work is waited for.

NOTE: which of several answers a piece gets is decided by how often it failed before, which the job's
own rows say, and not by how often it was asked. A replayed job that is killed and resumed so gets what
an unkilled one would have got.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from qsearch import __version__
from qsearch.contracts.codec import canonical, digest_of, from_data, to_data
from qsearch.contracts.errors import DataError, InputError, NotFound, Unreachable, UsageError
from qsearch.contracts.pool import Pool, Slot
from qsearch.contracts.target import Target
from qsearch.contracts.work import Outcome, Work, WorkKind
from qsearch.measure.full_disk import full_disk_named
from workers.wire import read_outcome, read_work, write_outcome, write_work

#: format of the file
FORMAT = 1
#: how the file begins, its keys being sorted
_HEAD = b'{"qsearch":'
#: what a kind of work leaves in its scratch folder
_LEAVES = {
    WorkKind.EXPORT: "exported",
    WorkKind.MATERIALIZE: "splits",
    WorkKind.PREPARE: "prepared",
    WorkKind.VERIFY: "export",
}
#: folders of one machine; the digests beside them in the order say what is in them
_FOLDERS = frozenset({"prepared", "splits", "folder"})
#: what an order carries that does not change what is asked
_NOT_ASKED = frozenset({"seed", "luck", "fp32_s", "scoring_s"})


def work_digest(work: Work) -> str:
    """SHA-256 (hex) of what was asked: equal on every machine, in every folder, at every attempt."""
    seeded = work.kind is WorkKind.MATERIALIZE
    return digest_of({"kind": work.kind, "order": _placeless(to_data(work.order), seeded)})


class RecordingPool:
    """Any pool, with every outcome written to a file as it comes.

    Args:
        pool: who does the work; closed with this one.
        file: appended to, made when absent, at once.

    Raises:
        UsageError: the file cannot be written; the pool is left as it is.
    """

    def __init__(self, pool: Pool, file: Path) -> None:
        self._pool = pool
        self._file = file
        self._works: dict[tuple[str, int], Work] = {}
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            _drop_torn_line(file)
            self._lines = file.open("a", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--record: cannot write {file}: {error.strerror}", "Name another file.") from error

    def capacity(self) -> Sequence[Slot]:
        """As the pool says."""
        return self._pool.capacity()

    def submit(self, work: Work, target: Target) -> None:
        """Pass it on, and remember it until it comes back."""
        self._pool.submit(work, target)
        self._works[work.key, work.token] = work

    def results(self, timeout_s: float) -> Sequence[Outcome]:
        """As the pool says; written before the caller sees them.

        Raises:
            Unreachable: the recording cannot be written any more.
        """
        outcomes = self._pool.results(timeout_s)
        for outcome in outcomes:
            self._write(self._works.pop((outcome.key, outcome.token)), outcome)
        return outcomes

    def cancel(self, key: str) -> None:
        """As the pool does."""
        self._pool.cancel(key)

    def close(self) -> None:
        """Close the pool and the file. Idempotent."""
        self._pool.close()
        self._lines.close()

    def _write(self, work: Work, outcome: Outcome) -> None:
        left = Path(work.scratch) / _LEAVES.get(work.kind, "")
        line = f'{{"outcome":{write_outcome(outcome)},"work":{write_work(work)}}}\n'
        if self._lines.tell() == 0:
            head = {"recording": FORMAT, "qsearch": __version__, "slots": self._pool.capacity()}
            line = f"{canonical(head)}\n{line}"
        try:
            if outcome.cause is None and work.kind in _LEAVES and left.is_dir():
                shutil.copytree(left, _kept(self._file, work) / left.name, dirs_exist_ok=True)
            self._lines.write(line)
            self._lines.flush()
        except OSError as error:
            raise Unreachable(
                f"the recording {self._file} cannot be written any more: {error.strerror or error}",
                "Make room on its disk, then resume the job.",
            ) from error


class Recording:
    """A recorded file, as the answers of a `MemoryPool`.

    A piece that was recorded several times (it failed, and was tried again) is answered in that order, by
    its failures so far; the last answer repeats. Equal work has equal answers, whatever came between.

    Args:
        file: what a RecordingPool wrote.

    Raises:
        NotFound: there is no such file.
        DataError: it is no recording, or one of another format; says which line.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._answers: dict[str, list[Outcome]] = {}
        self.slots: tuple[Slot, ...] = ()
        try:
            with file.open(encoding="utf-8") as lines:
                for number, line in enumerate(lines, start=1):
                    self._read(number, line)
        except OSError as error:
            raise NotFound(f"no recording {file}: {error.strerror}", "Record one with --record FILE.") from error
        if not self.slots:
            raise DataError(f"{file} is empty; expected a recording")

    def answer(self, work: Work) -> Outcome:
        """The recorded outcome, under this piece's key and token, its files in this piece's scratch folder.

        Raises:
            NotFound: this was never recorded.
            WorkFailed: DISK_FULL, there is no room for its files.
        """
        answers = self._answers.get(work_digest(work))
        if not answers:
            raise NotFound(
                f"{work.key}: this {work.kind} was never recorded in {self._file}",
                f"It holds {len(self._answers)} pieces; replay the job that they were recorded from.",
            )
        outcome = answers[min(work.failures, len(answers) - 1)]
        kept, scratch = _kept(self._file, work), Path(work.scratch)
        if outcome.cause is None and kept.is_dir():
            try:
                with full_disk_named(scratch, scratch.parent):
                    shutil.copytree(kept, scratch, dirs_exist_ok=True)
            except OSError as error:
                raise Unreachable(f"the files of {work.key} cannot be copied to {scratch}: {error}") from error
        return replace(outcome, key=work.key, token=work.token)

    def _read(self, number: int, line: str) -> None:
        try:
            data = json.loads(line)
            if number == 1:
                self._read_head(data)
                return
            work, outcome = (json.dumps(data[name]) for name in ("work", "outcome"))
            self._answers.setdefault(work_digest(read_work(work)), []).append(read_outcome(outcome))
        except (ValueError, KeyError, TypeError, InputError) as error:
            raise DataError(f"{self._file}:{number}: expected a recorded piece of work: {error}") from error

    def _read_head(self, data: Any) -> None:
        if not isinstance(data, Mapping) or data.get("recording") != FORMAT:
            raise DataError(f"expected a recording of format {FORMAT}, found {str(data)[:60]}")
        self.slots = tuple(from_data(Slot, slot) for slot in data["slots"])


def _drop_torn_line(file: Path) -> None:
    """Cut off what a killed process or a full disk left of a last line: what follows would be lost with it."""
    if not file.is_file() or not file.stat().st_size:
        return
    with file.open("r+b") as lines, mmap.mmap(lines.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        size, end, head = len(whole), whole.rfind(b"\n") + 1, whole[: len(_HEAD)]
        if not _HEAD.startswith(head):
            raise UsageError(f"--record: {file} is there already and is no recording", "Name another file.")
    if end < size:
        os.truncate(file, end)


def _kept(file: Path, work: Work) -> Path:
    return file.with_name(file.name + ".files") / work_digest(work)[:16]


def _placeless(data: Any, seeded: bool) -> Any:
    """The order without what depends on the machine's folders; of files only the name stays."""
    if isinstance(data, dict):
        return {
            name: _placeless(value, seeded)
            for name, value in data.items()
            if not (name in _FOLDERS and isinstance(value, str) and value.startswith("/"))
            and (seeded or name not in _NOT_ASKED)
        }
    if isinstance(data, list):
        return [_placeless(value, seeded) for value in data]
    return PurePath(data).name if isinstance(data, str) and data.startswith("/") else data
