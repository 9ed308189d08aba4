"""What PostgreSQL's errors mean: which pass by themselves, and what the user is told.

NOTE: an error of an established session has a code (SQLSTATE). One of a session that could not be
made has only libpq's text: what the server said in its own language, behind the client's in English.
A text that nobody recognises is tried again until the patience ends. What stands between quotation
marks is a name or a value, and says nothing about the error: a database may be called "SSL".
"""

from __future__ import annotations

import re
from typing import Any

from qsearch.contracts.errors import DataError, QSearchError, Unreachable, UsageError

#: connection lost or refused for now, too many connections, server going down or coming up, stopped for holding
#: a transaction open, deadlock, serialization, lock not granted in time
_PASSING = re.compile(r"08...|53300|57P0[1235]|25P03|40P01|40001|55P03")
#: disagreement about encryption; a server that goes away during the handshake is none
_SSL = r"SSL(?! SYSCALL| error: unexpected eof| connection has been closed| negotiation packet)|certificate"
#: an option of the URL that libpq does not take
_OPTION = r"invalid (\S+ )?value|invalid (port number|connection option|URI)"
#: texts of a refused connection that will be refused again
_FINAL = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|does not exist|permission denied"
    rf"|not currently accepting connections|server requires|{_SSL}|{_OPTION}"
)
_QUOTED = re.compile(r"""["„“«»][^"„“”«»\n]*["“”«»]|(?<!\w)'[^'\n]*'""")
_OPTIONS_ADVICE = "See the URL's options; they are libpq's."
_LOCKED = "Another process holds it: look in pg_stat_activity, or wait and try again."
_ADVICE_BY_CODE = {
    "53100": "The server's disk is full: free some space, then `qsearch resume` continues.",
    "53200": "The server is out of memory; then `qsearch resume` continues.",
    "53300": "The server has no connection to spare: close some, or raise its max_connections.",
    "58030": "The server's disk failed: see its log, then `qsearch resume` continues.",
    "55P03": _LOCKED,
    "40P01": _LOCKED,
    "25006": "This server only reads, a standby perhaps: name the primary.",
    "42501": "Have its owner run: GRANT USAGE, CREATE ON SCHEMA public TO you; a ledger's tables need one owner.",
    "3F000": "The login's search_path names no schema that is there: create one.",
}
_ADVICE_BY_TEXT = {
    r"authentication failed|no password supplied": "See the user and the password: in the URL, in the file of"
    " QSEARCH_DATABASE_URL_FILE, in PGPASSWORD, or in ~/.pgpass.",
    r"no pg_hba\.conf entry": "The server does not let this user in from this host: its administrator edits it.",
    r"database .* does not exist": "Create it (createdb NAME), or name another.",
    r"role .* does not exist": "Create the login (createuser NAME), or name another.",
    r"resolve host": "See the host's name in the URL.",
    r"too many clients|connection slots": _ADVICE_BY_CODE["53300"],
    _SSL: "See sslmode and the certificates in the URL's options.",
    _OPTION: _OPTIONS_ADVICE,
    r"refused|No such file|timeout|unreachable|No route|SSL|unexpectedly": "See that the server runs, and its host and"
    " port: pg_isready -h HOST -p PORT.",
}


def passes(error: Any) -> bool:
    """Whether the same may succeed a little later."""
    code = getattr(error, "sqlstate", None)
    if code:
        return bool(_PASSING.fullmatch(code))
    return _never_connected(error) and not _FINAL.search(_unquoted(str(error)))


def translated(error: Any, name: str, patience_s: float) -> QSearchError:
    """What the user is told; never what was being written, which the server's details repeat.

    Args:
        error: psycopg's.
        name: of the database, without password.
        patience_s: how long it was waited for, should that have been of use; 0 = not at all.
    """
    code = getattr(error, "sqlstate", None) or ""
    said = (error.diag.message_primary if code else None) or _first_line(error)
    if code.startswith("23"):
        return DataError(f"the database {name} refused a row: {said}")
    if not code and not _never_connected(error):
        return UsageError(f"the options of {name} cannot be used: {said}", _OPTIONS_ADVICE)
    waited = f" for {patience_s:g} s" if patience_s and passes(error) else ""
    return Unreachable(f"the database {name} does not answer{waited}: {said}", _advice(code, said))


def _never_connected(error: Any) -> bool:
    from psycopg import OperationalError

    return isinstance(error, OperationalError)


def _first_line(error: Any) -> str:
    return str(error).partition("\n")[0].removeprefix("connection failed: ").removeprefix("connection is bad: ")


def _advice(code: str, said: str) -> str:
    if code in _ADVICE_BY_CODE:
        return _ADVICE_BY_CODE[code]
    plain = _unquoted(said)
    found = (advice for pattern, advice in _ADVICE_BY_TEXT.items() if re.search(pattern, plain))
    return next(found, "qsearch doctor looks closer.")


def _unquoted(said: str) -> str:
    return _QUOTED.sub('""', said)
