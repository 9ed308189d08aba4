"""Work that waits for a place, in the order in which it came."""

from __future__ import annotations

from collections.abc import Sequence

from qsearch.contracts.errors import Unsupported, UsageError
from qsearch.contracts.pool import Slot
from qsearch.contracts.target import Target
from qsearch.contracts.work import Work


class Waiting:
    """A queue that knows who may serve what. One piece per (key, token), ever."""

    def __init__(self) -> None:
        self._pieces: list[tuple[Work, Target]] = []
        self._seen: set[tuple[str, int]] = set()

    def __len__(self) -> int:
        return len(self._pieces)

    def add(self, work: Work, target: Target, slots: Sequence[Slot]) -> None:
        """Put it last.

        Raises:
            Unsupported: none of the slots can serve the target; says of each why.
            UsageError: this attempt was submitted before; a repetition has the next token.
        """
        reasons = why_not(target, slots)
        if reasons:
            raise Unsupported(
                f"no machine can serve target {target.name}: {'; '.join(reasons)}",
                "Add a machine that can, or change the target.",
            )
        if (work.key, work.token) in self._seen:
            raise UsageError(f"{work.key} was submitted with token {work.token} before; it runs at most once")
        self._seen.add((work.key, work.token))
        self._pieces.append((work, target))

    def take(self, slot: Slot) -> Work | None:
        """The first piece that this slot can serve, removed."""
        for position, (work, target) in enumerate(self._pieces):
            if not slot.lacks(target):
                del self._pieces[position]
                return work
        return None

    def drop(self, key: str) -> list[Work]:
        """Every piece with this key, removed."""
        return self._remove([work for work, _ in self._pieces if work.key == key])

    def stranded(self, slots: Sequence[Slot]) -> list[tuple[Work, str]]:
        """Pieces that none of these slots can serve, removed, and why."""
        lost = [(work, target) for work, target in self._pieces if why_not(target, slots)]
        self._remove([work for work, _ in lost])
        return [(work, "; ".join(why_not(target, slots))) for work, target in lost]

    def _remove(self, works: Sequence[Work]) -> list[Work]:
        self._pieces = [piece for piece in self._pieces if not any(piece[0] is work for work in works)]
        return list(works)


def why_not(target: Target, slots: Sequence[Slot]) -> tuple[str, ...]:
    """Each slot's reason, equal ones once; empty when one of the slots can serve the target."""
    if not slots:
        return ("there is no machine",)
    reasons = [slot.lacks(target) for slot in slots]
    return () if "" in reasons else tuple(dict.fromkeys(reasons))
