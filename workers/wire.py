"""What crosses the pipe between a worker process and its parent: one JSON line each.

    worker → parent   {"version": ..., "slot": Slot}    once, when it is ready
    parent → worker   Work                              one at a time
    worker → parent   Outcome                           one for each Work

NOTE: JSON text and not pickle, on pipes as on Ray: an order can be read by a person, a payload of
another version is refused by name, and nothing that arrives can run code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from qsearch import __version__
from qsearch.contracts.causes import Cause
from qsearch.contracts.codec import canonical, from_data
from qsearch.contracts.errors import DataError, Unreachable
from qsearch.contracts.pool import Slot
from qsearch.contracts.work import WORK_TYPES, Order, Outcome, Work, WorkKind, WorkResult


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How a worker process is to be started; data, so that it can travel to another machine."""

    #: module:function that is called with each Work; empty = `workers.perform:perform`
    performer: str = ""
    #: labels added to those that the machine shows by itself
    labels: Mapping[str, str] = field(default_factory=dict)
    #: folder the worker runs in, made when absent; empty = the parent's
    folder: str = ""
    #: environment variables added to the parent's
    environment: Mapping[str, str] = field(default_factory=dict)
    #: environment variables taken away from the parent's
    without: tuple[str, ...] = ()
    #: the niceness the worker must run at; None = the parent's
    niceness: int | None = None


def write_hello(slot: Slot, version: str = __version__) -> str:
    """The worker's first line."""
    return canonical({"version": version, "slot": slot})


def read_hello(text: str) -> Slot:
    """The slot of a worker of this version.

    Raises:
        Unreachable: another version of QSearch, or not a hello; the message names what was found.
    """
    try:
        data = _parse(text)
    except DataError as error:
        raise Unreachable(f"the worker introduced itself badly: {error.message}") from error
    version = data.get("version")
    if version != __version__:
        # the version is compared before the slot is read: another version's slot may have other fields
        raise Unreachable(
            f"the worker runs QSearch {version or 'of no stated version'}, this is {__version__}",
            "Install the same version on every machine.",
        )
    try:
        return from_data(Slot, data.get("slot"))
    except DataError as error:
        raise Unreachable(f"the worker introduced itself badly: {error.message}") from error


def write_work(work: Work) -> str:
    """One line; NaN and records that are no data are refused with DataError."""
    return _text(work)


def read_work(text: str) -> Work:
    """The order that `write_work` wrote.

    Raises:
        DataError: not JSON, an unknown kind, or another version's fields.
    """
    data = _parse(text)
    kind = _kind(data)
    # read by its kind first: a union that matches nothing would blame the last class it tried
    order: Order = from_data(WORK_TYPES[kind][0], data.get("order"))
    return replace(from_data(Work, data), order=order)


def write_outcome(outcome: Outcome) -> str:
    """One line; NaN and records that are no data are refused with DataError."""
    return _text(outcome)


def read_outcome(text: str) -> Outcome:
    """The outcome that `write_outcome` wrote.

    Raises:
        DataError: not JSON, an unknown kind, or another version's fields.
    """
    data = _parse(text)
    kind = _kind(data)
    found = data.get("result")
    result: WorkResult | None = None if found is None else from_data(WORK_TYPES[kind][1], found)
    return replace(from_data(Outcome, {**data, "result": None}), result=result)


def failed(work: Work, cause: Cause, message: str, tail: str = "", *, host: str = "", seconds: float = 0.0) -> Outcome:
    """The outcome of a piece of work that brought no result."""
    return Outcome(
        kind=work.kind,
        key=work.key,
        token=work.token,
        result=None,
        cause=cause,
        message=message,
        tail=tail,
        host=host,
        seconds=seconds,
    )


def _text(record: Work | Outcome) -> str:
    try:
        return canonical(record)
    except ValueError as error:
        raise DataError(f"{record.key}: a number that is not finite cannot be sent: {error}") from error


def _parse(text: str) -> Mapping[str, Any]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise DataError(f"expected a JSON line, found {text[:60]!r}") from error
    if not isinstance(data, Mapping):
        raise DataError(f"expected a JSON object, found {text[:60]!r}")
    return data


def _kind(data: Mapping[str, Any]) -> WorkKind:
    try:
        return WorkKind(str(data.get("kind")))
    except ValueError as error:
        known = ", ".join(kind.value for kind in WorkKind)
        raise DataError(f"kind: expected one of {known}, found {data.get('kind')!r}") from error
