"""What the finals of a job are ordered with."""

from __future__ import annotations

from pathlib import Path

from driver_world import World

from qsearch.contracts.work import FinalOrder, Outcome, TrialOrder, Work
from qsearch.service.driver import Driver


class OrderingWorld(World):
    """Remembers what fp32 was said to take."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.told: dict[str, float] = {}

    def _answer(self, work: Work) -> Outcome:
        if isinstance(work.order, TrialOrder | FinalOrder):
            self.told[work.key.partition("/")[2]] = work.order.fp32_s
        return super()._answer(work)


def test_finals_are_told_what_fp32_took_as_their_trials_were(tmp_path: Path) -> None:
    world = OrderingWorld(tmp_path)
    job = world.job(trials=4)
    with world.place() as place:
        Driver(place, lambda progress: None).drive(job)
    assert world.told == {"0": 1.0, "1": 1.0, "2": 1.0, "3": 1.0, "final:here": 1.0}
