"""A polluted trial says by what, and by whom."""

from __future__ import annotations

from dataclasses import replace

from qsearch.contracts.measurement import Block, Sitting, Tier
from qsearch.service.disturbances import who_disturbed


def _block(number: int, rejected: str) -> Block:
    return Block(arm="R", session=0, round=number, order=number, samples_ns=(1,), rejected=rejected)


def test_the_commonest_reason_and_the_busiest_others_are_named() -> None:
    reasons = ["foreign work 50.0 % > 10 %", "", "steal 9.0 % > 3 %", "foreign work 20.0 % > 10 %"]
    blocks = tuple(_block(n, reason) for n, reason in enumerate(reasons))
    sitting = Sitting(tier=Tier.SCREEN, reference="R", runs=(), blocks=blocks, seconds=1.0)
    assert who_disturbed(sitting) == " (most often: foreign work)"
    loud = replace(sitting, polluters={"make": 1240.0, "cc1": 300.0})
    assert who_disturbed(loud) == " (most often: foreign work; meanwhile ran: make 1.2 s, cc1 0.3 s)"
    assert who_disturbed(replace(sitting, blocks=())) == ""
