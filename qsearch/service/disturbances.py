"""Who disturbed a measurement, in words for a failure's message."""

from __future__ import annotations

from qsearch.contracts.measurement import Sitting


def who_disturbed(sitting: Sitting) -> str:
    """` (most often: foreign work; meanwhile ran: make 1.2 s)`; "" when nothing is known."""
    # "foreign work 50.0 % > 10 %": the numbers differ from block to block, what it was does not
    named = [b.rejected.partition(" > ")[0].rstrip("0123456789.% ") for b in sitting.blocks if b.rejected]
    parts = [f"most often: {max(sorted(set(named)), key=named.count)}"] if named else []
    if sitting.polluters:
        ran = ", ".join(f"{name} {ran_ms / 1000:.1f} s" for name, ran_ms in sitting.polluters.items())
        parts.append(f"meanwhile ran: {ran}")
    return f" ({'; '.join(parts)})" if parts else ""
