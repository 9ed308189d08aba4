"""The pool over Ray: one actor per measuring slot, on this machine or on a cluster.

NOTE: Ray places and carries, nothing else. Every retry and restart of Ray's is off, because attempts
are counted in SQL by cause, and an actor that came back by itself would measure a trial twice.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qsearch.cluster.ray_cluster import SLOT, RayCluster
from qsearch.cluster.seats import SeatedPool
from qsearch.contracts.errors import Unreachable
from workers.ray_actor import RAY_SETS, LinkActor, write_options
from workers.wire import WorkerOptions


class RayPool(SeatedPool):
    """Actors that hold one `qsearch_slot` each.

    Args:
        address: `host:port` of a cluster, or `auto`; None starts a local one, which ends with the pool.
        scratch: folder that workers run in; local clusters only, since another host has other folders.
        slots: measuring slots of a local cluster.
        options: how the worker processes are started.
        start_s: seconds an actor has to be placed and to say hello; one that replaces another has
            `ray_seat.AGAIN_S` at most.
        allow_open: join another host's cluster without Ray's token authentication.

    Raises:
        Unreachable: no cluster there, or one without a `qsearch_slot`.
        Unsupported: an unsafe or unknown kind of address.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        scratch: Path | None = None,
        slots: int = 1,
        options: WorkerOptions | None = None,
        start_s: float = 120.0,
        allow_open: bool = False,
    ) -> None:
        self._cluster = RayCluster(address, slots=slots, allow_open=allow_open)
        settings = options or WorkerOptions()
        if address is None and scratch is not None:
            settings = replace(settings, folder=str(scratch))
        text = write_options(replace(settings, without=(*settings.without, *RAY_SETS), niceness=0))
        try:
            self._ray_seats = _take_seats(slots if address is None else self._cluster.slots(), text, start_s)
        except Unreachable:
            self._cluster.close()
            raise
        super().__init__(self._ray_seats)

    def settle(self) -> None:
        """Do without the machines that have not come so far: their slots are others', also when they get free.

        NOTE: who drives does so with the slots there are when it begins; an actor that came later would
        hold a slot that nobody here sends work to.
        """
        newcomers = self._newcomers()
        for seat in self._ray_seats:
            if seat in newcomers:
                seat.give_up(f"it had no free {SLOT} when the others began")

    def close(self) -> None:
        """End the actors and their workers, leave the cluster (end it, when it was started here)."""
        super().close()
        self._cluster.close()

    def _wait(self, timeout_s: float) -> None:
        import ray

        patience = min(timeout_s, *(seat.patience_s() for seat in self._ray_seats))
        pending = [seat.pending for seat in self._ray_seats if seat.pending is not None]
        if pending:
            ray.wait(pending, num_returns=1, timeout=max(patience, 0.01))
        else:
            time.sleep(patience)


def _take_seats(slots: int, options: str, start_s: float) -> list[Any]:
    import ray

    from qsearch.cluster.ray_seat import RaySeat

    if slots < 1:
        raise Unreachable(f"the Ray cluster has no {SLOT}", "Join measuring machines: qsearch worker join ADDRESS")
    actor = ray.remote(**_placement())(LinkActor)
    return [RaySeat(lambda: actor.remote(options), start_s=start_s) for _ in range(slots)]


def _placement() -> Mapping[str, Any]:
    return {
        "num_cpus": 1,
        "resources": {SLOT: 1},
        "max_restarts": 0,
        "max_task_retries": 0,
        # run, cancel and close at the same time; LinkActor keeps them apart
        "max_concurrency": 3,
    }
