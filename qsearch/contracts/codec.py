"""Records to plain data and back, and the digest of plain data.

NOTE: one codec instead of a `to_dict` on each record, so that what crosses a pipe, a database
column or a Ray call is read back by the same rules: unknown keys, missing keys and wrong types are
refused by name. It is written here and not left to pydantic because the measuring child, which may
run in another virtual environment, must read orders with the standard library alone.
"""

from __future__ import annotations

import hashlib
import json
import types
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from qsearch.contracts.errors import DataError

Record = TypeVar("Record")


def to_data(value: Any) -> Any:
    """Plain JSON data (dict, list, str, int, float, bool, None) of a record, recursively.

    Raises:
        DataError: something inside is neither a record nor plain data.
    """
    if value is None or (isinstance(value, bool | int | float | str) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_data(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_data(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [to_data(item) for item in value]
    raise DataError(f"cannot write a {type(value).__name__} as data; records hold plain values")


def from_data(kind: type[Record], data: Any) -> Record:
    """The record of class `kind` that `to_data` wrote.

    Raises:
        DataError: an unknown or missing key, or a value of another type; the message has its path.
    """
    return cast(Record, _read(kind, data, kind.__name__))


def canonical(data: Any) -> str:
    """The one JSON text of a record or of plain data: sorted keys, no spaces, no NaN."""
    return json.dumps(to_data(data), sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def digest_of(data: Any) -> str:
    """SHA-256 (hex) of the canonical text; equal data have equal digests on every machine."""
    return hashlib.sha256(canonical(data).encode()).hexdigest()


def _read(kind: Any, data: Any, path: str) -> Any:
    origin = get_origin(kind)
    if kind is Any or kind is object:
        return data
    if origin is Union or origin is types.UnionType:
        return _read_union(kind, data, path)
    if origin is tuple:
        return _read_tuple(get_args(kind), data, path)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(data, Mapping):
            raise _wrong(path, "a mapping", data)
        key_kind, item_kind = get_args(kind)
        return {_read_key(key_kind, k, path): _read(item_kind, v, f"{path}.{k}") for k, v in data.items()}
    if is_dataclass(kind) and isinstance(kind, type):
        return _read_record(kind, data, path)
    return _read_plain(kind, data, path)


def _read_key(kind: Any, key: Any, path: str) -> Any:
    # JSON has text keys only; a mapping by number comes back as one
    if kind is int and isinstance(key, str) and key.lstrip("-").isdigit():
        return int(key)
    return _read(kind, key, path)


def _read_union(kind: Any, data: Any, path: str) -> Any:
    if data is None and type(None) in get_args(kind):
        return None
    failure: DataError | None = None
    for option in get_args(kind):
        if option is type(None):
            continue
        try:
            return _read(option, data, path)
        except DataError as error:
            failure = error
    raise failure or _wrong(path, "a value", data)


def _read_tuple(args: tuple[Any, ...], data: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(data, Sequence) or isinstance(data, str):
        raise _wrong(path, "a list", data)
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_read(args[0], item, f"{path}[{i}]") for i, item in enumerate(data))
    if len(args) != len(data):
        raise _wrong(path, f"{len(args)} items", data)
    return tuple(_read(kind, item, f"{path}[{i}]") for i, (kind, item) in enumerate(zip(args, data, strict=True)))


def _read_record(kind: type[Any], data: Any, path: str) -> Any:
    if not isinstance(data, Mapping):
        raise _wrong(path, "a mapping", data)
    hints = _hints(cast(Hashable, kind))
    unknown = [key for key in data if key not in hints]
    if unknown:
        raise DataError(f"{path} has an unknown key {unknown[0]!r}", "Written by another version of QSearch?")
    values = {}
    for field in fields(kind):
        if field.name in data:
            values[field.name] = _read(hints[field.name], data[field.name], f"{path}.{field.name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise DataError(f"{path} lacks the key {field.name!r}", "Written by another version of QSearch?")
    return kind(**values)


def _read_plain(kind: Any, data: Any, path: str) -> Any:
    if kind is type(None):
        if data is None:
            return None
    elif kind is datetime:
        if isinstance(data, str):
            return datetime.fromisoformat(data)
    elif isinstance(kind, type) and issubclass(kind, Enum):
        try:
            return kind(data)
        except ValueError as error:
            raise _wrong(path, f"one of {', '.join(str(m.value) for m in kind)}", data) from error
    elif kind is float:
        if isinstance(data, int | float) and not isinstance(data, bool):
            return float(data)
    elif isinstance(kind, type) and isinstance(data, kind) and (kind is bool or not isinstance(data, bool)):
        return data
    raise _wrong(path, getattr(kind, "__name__", str(kind)), data)


def _wrong(path: str, expected: str, found: Any) -> DataError:
    return DataError(f"{path}: expected {expected}, found {type(found).__name__} {str(found)[:60]!r}")


@cache
def _hints(kind: Hashable) -> dict[str, Any]:
    record = cast(Any, kind)
    names = {field.name for field in fields(record)}
    return {name: hint for name, hint in get_type_hints(record).items() if name in names}
