"""What the books say about one job: read from the tables, past the product's own code, and held against each other.

A kill loop proves nothing by ending. What was lost, or counted twice, stands in the rows and in the event
log, which two different statements wrote; the checker lists every disagreement of theirs.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType
from typing import Any

from sqlalchemy import Row, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the event log."""

    seq: int
    at_ms: int
    epoch: int
    kind: str
    data: Mapping[str, Any]


class Books:
    """The newest job of a database. Every question is asked anew; nothing is remembered."""

    def __init__(self, url: str) -> None:
        # no pool: a connection kept open would be one more process at the database under fire
        self._engine = create_engine(url, poolclass=NullPool)

    def __enter__(self) -> Books:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._engine.dispose()

    def job(self) -> Row[Any] | None:
        """Its row; None while there is no job, or no database yet."""
        try:
            rows = self._rows("SELECT * FROM jobs ORDER BY id DESC LIMIT 1")
        except DBAPIError:
            return None
        return rows[0] if rows else None

    def count(self, kind: str = "") -> int:
        """Events so far, of one kind or of all."""
        try:
            wanted = f"AND kind = '{kind}'" if kind else ""
            return int(self._rows(f"SELECT count(*) AS events FROM job_events WHERE {_MINE} {wanted}")[0].events)
        except DBAPIError:
            return 0

    def events(self) -> list[Entry]:
        """The event log, in order."""
        rows = self._rows(f"SELECT seq, at_ms, epoch, kind, data FROM job_events WHERE {_MINE} ORDER BY seq")
        return [Entry(row.seq, row.at_ms, row.epoch, row.kind, json.loads(row.data)) for row in rows]

    def phase(self) -> str:
        """Where the job stands: its state, and while it searches whether a trial runs."""
        job = self.job()
        if job is None:
            return "nowhere"
        return str(job.state) if self.running() is None else f"{job.state}, measuring"

    def entered(self, state: str, epoch: int) -> bool:
        """Whether the driver of this epoch has brought the job into a state."""
        return any(e.kind == "state" and e.epoch == epoch and e.data["to"] == state for e in self.events())

    def running(self) -> int | None:
        """Number of the trial that runs, if one does."""
        rows = self._rows(f"SELECT number FROM trials WHERE {_MINE} AND state = 'RUNNING'")
        return rows[0].number if rows else None

    def states(self) -> Counter[str]:
        """Trials by state."""
        return Counter(row.state for row in self._rows(f"SELECT state FROM trials WHERE {_MINE}"))

    def accepted(self) -> dict[int, tuple[str, bytes]]:
        """Trial → digest and record of its measurement, byte by byte."""
        rows = self._rows(f"SELECT number, digest, record FROM measurements WHERE {_MINE} AND role = 'trial'")
        return {row.number: (row.digest, bytes(row.record)) for row in rows}

    def asked(self) -> dict[int, str]:
        """Trial → digest of its candidate."""
        return {r.number: r.candidate for r in self._rows(f"SELECT number, candidate FROM trials WHERE {_MINE}")}

    def causes(self) -> Counter[str]:
        """Failed attempts by cause."""
        found = self._rows(f"SELECT cause FROM attempts WHERE {_MINE} AND outcome = 'failed'")
        return Counter(row.cause for row in found)

    def messages(self) -> list[str]:
        """What was written about the failed attempts."""
        return [r.message for r in self._rows(f"SELECT message FROM attempts WHERE {_MINE} AND outcome = 'failed'")]

    def complaints(self, trials: int) -> list[str]:
        """Every way in which the books of a finished job of so many trials disagree; empty = none."""
        return [
            *self._of_trials(trials),
            *self._of_the_log(trials),
            *self._of_attempts(),
            *self._of_measurements(trials),
            *self._of_answers(trials),
        ]

    def _of_trials(self, trials: int) -> list[str]:
        job = self.job()
        rows = self._rows(f"SELECT number, state, candidate FROM trials WHERE {_MINE} ORDER BY number")
        found = [] if job is not None and job.state == "DONE" else [f"the job is {job and job.state}"]
        if [row.number for row in rows] != list(range(trials)):
            found.append(f"numbers with holes: {[row.number for row in rows]}")
        found += [f"trial {row.number} is {row.state}" for row in rows if row.state != "DONE"]
        twice = [c for c, times in Counter(row.candidate for row in rows).items() if times > 1]
        return [*found, *(f"candidate {candidate[:12]} was asked for twice" for candidate in twice)]

    def _of_the_log(self, trials: int) -> list[str]:
        events, found = self.events(), []
        if [event.seq for event in events] != list(range(1, len(events) + 1)):
            found.append("the log has holes")
        if any(later.epoch < event.epoch for event, later in pairwise(events)):
            found.append("an epoch wrote after its successor")
        leases = [event.epoch for event in events if event.kind == "leased"]
        if leases != list(range(1, len(leases) + 1)):
            found.append(f"leases are not numbered one by one: {leases}")
        asked: list[int] = []
        for event in events:
            if event.kind == "asked":
                asked += range(event.data["first"], event.data["first"] + event.data["count"])
        if asked != list(range(trials)):
            found.append(f"asked for {asked}")
        ended: set[int] = set()
        for event in events:
            if event.kind == "started" and event.data["trial"] in ended:
                found.append(f"trial {event.data['trial']} was started after its measurement was accepted")
            if event.kind == "accepted":
                if event.data["trial"] in ended:
                    found.append(f"trial {event.data['trial']} was accepted twice")
                ended.add(event.data["trial"])
        return found

    def _of_attempts(self) -> list[str]:
        """Each start has its end in the rows, of the kind that the log tells."""
        told: dict[tuple[int, int], str] = {}
        for event in self.events():
            if event.kind == "started":
                told[event.data["trial"], event.data["token"]] = "running"
            elif event.kind in ("accepted", "failed", "requeued"):
                told[event.data["trial"], event.data["token"]] = event.kind
        rows = self._rows(f"SELECT number, token, outcome FROM attempts WHERE {_MINE}")
        kept = {(row.number, row.token): row.outcome for row in rows}
        found = [
            f"attempt {place} is {kept.get(place)} in the rows, {told.get(place)} in the log"
            for place in sorted(kept.keys() | told.keys())
            if kept.get(place) != told.get(place)
        ]
        return [*found, *(f"attempt {place} still runs" for place, outcome in kept.items() if outcome == "running")]

    def _of_measurements(self, trials: int) -> list[str]:
        accepted = self.accepted()
        told = {e.data["trial"]: e.data["digest"] for e in self.events() if e.kind == "accepted"}
        found = []
        if told != {number: digest for number, (digest, _) in accepted.items()}:
            found.append("the digests in the log are not those of the measurements")
        if len({digest for digest, _ in accepted.values()}) != trials:
            found.append(f"{len({d for d, _ in accepted.values()})} distinct measurements for {trials} trials")
        for number, (digest, record) in accepted.items():
            if hashlib.sha256(zlib.decompress(record)).hexdigest() != digest:
                found.append(f"the measurement of trial {number} is not what was accepted")
        return found

    def _of_answers(self, trials: int) -> list[str]:
        front = {row.number for row in self._rows(f"SELECT number FROM fronts WHERE {_MINE}")}
        best = self._rows(f"SELECT trial FROM bests WHERE {_MINE}")
        found = [] if front == set(range(trials)) else [f"the front knows trials {sorted(front)}"]
        return found if best else [*found, "there is no best"]

    def _rows(self, query: str) -> list[Row[Any]]:
        with self._engine.connect() as connection:
            return list(connection.execute(text(query)))


_MINE = "job = (SELECT max(id) FROM jobs)"
