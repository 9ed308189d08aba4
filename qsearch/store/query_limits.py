"""What holds for a query on every database: its bounds, and the words it is refused with."""

from __future__ import annotations

from qsearch.contracts.errors import Unreachable, Unsupported
from qsearch.store.schema import HEAD
from qsearch.store.views import VIEWS

HINT = f"Views: {', '.join(VIEWS)}. An empty query lists their columns."
#: of all values of an answer
ANSWER_BYTES = 64 * 2**20
#: of a statement
SQL_CHARACTERS = 50_000


def other_schema(found: str) -> Unsupported:
    """The database has another revision than this QSearch reads; empty = none."""
    return Unsupported(
        f"the database has schema {found or 'none'}, this QSearch reads {HEAD}",
        "Any other command brings an older one up to date; a newer one needs a newer QSearch.",
    )


def too_slow(timeout_s: float) -> Unreachable:
    """The time was over."""
    return Unreachable(
        f"the query took longer than {timeout_s:g} s and was stopped", "Ask for less, or give it more time."
    )
