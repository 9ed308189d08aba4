"""Text on its way to PostgreSQL.

NOTE: PostgreSQL keeps no NUL character and no half of a surrogate pair, SQLite keeps the first. The
last output of a process that died may hold both; losing the report over it would be worse than a
sign in its place: U+2400 for NUL, a question mark for a half.
"""

from __future__ import annotations

from typing import Any

from psycopg.types.string import StrDumper, StrDumperUnknown


class _Storable(StrDumper):
    def dump(self, obj: str) -> bytes:
        return _storable(obj)


class _StorableUnknown(StrDumperUnknown):
    def dump(self, obj: str) -> bytes:
        return _storable(obj)


def register(connection: Any) -> None:
    """Have a psycopg connection send text that the server can keep."""
    connection.adapters.register_dumper(str, _Storable)
    connection.adapters.register_dumper(str, _StorableUnknown)


def _storable(text: str) -> bytes:
    return text.replace("\0", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace")
