"""Preparation, machines and artifacts in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from qsearch.contracts.job import Lease
from qsearch.contracts.layer import Layer
from qsearch.contracts.ledger import Artifact
from qsearch.contracts.machine import Machine
from qsearch.contracts.noise import NoiseFloor
from qsearch.contracts.work import Materialized, Prepared
from qsearch.store.clock import from_ms
from qsearch.store.memory_state import MemoryState
from qsearch.store.packing import normal, pack, text_of, unpack


class MemoryPreparation:
    """The preparation's part of the twin; promises as in `qsearch.contracts.ledger`."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    def save_prepared(self, lease: Lease, target: str, materialized: Materialized, prepared: Prepared) -> None:
        facts, done = pack(Materialized, materialized), pack(Prepared, prepared)
        with self._state.lock:
            found = self._state.hold(lease, "save_prepared")
            found.check_target(target)
            found.prepared[target] = (facts, done)
            digests = {"target": target, "prepared": prepared.digest, "data": materialized.digest}
            self._state.append_event(lease.job, "prepared", digests)

    def prepared(self, job: str, target: str) -> tuple[Materialized, Prepared] | None:
        with self._state.lock:
            found = self._state.job(job).prepared.get(target)
        if found is None:
            return None
        return unpack(Materialized, found[0].content), unpack(Prepared, found[1].content)

    def layers(self, job: str) -> Sequence[Layer]:
        with self._state.lock:
            names = [target.name for target in self._state.job(job).record.spec.targets]
            done = [self.prepared(job, name) for name in names]
        return next((list(found[1].layers) for found in done if found), [])

    def remember_machine(self, machine: Machine, labels: Mapping[str, str]) -> None:
        text_of(labels)
        with self._state.lock:
            self._state.machines[machine.host, machine.key] = normal(Machine, machine)

    def machines(self) -> Sequence[Machine]:
        with self._state.lock:
            return [normal(Machine, self._state.machines[key]) for key in sorted(self._state.machines)]

    def save_noise(self, noise: NoiseFloor) -> None:
        kept = normal(NoiseFloor, replace(noise, taken=None))
        text_of(kept)
        with self._state.lock:
            key = (noise.machine_key, noise.runtime_key, noise.source)
            self._state.noise[key] = replace(kept, taken=from_ms(self._state.now_ms))

    def noise(self, machine_key: str, runtime_key: str = "") -> Sequence[NoiseFloor]:
        with self._state.lock:
            kept = [f for f in self._state.noise.values() if f.machine_key == machine_key]
        mine = [floor for floor in kept if runtime_key in ("", floor.runtime_key)]
        ordered = sorted(mine, key=lambda f: (f.source, f.runtime_key))
        return sorted(ordered, key=lambda f: f.taken.timestamp() if f.taken else 0.0, reverse=True)

    def keep_artifact(self, artifact: Artifact) -> None:
        kept = replace(artifact, facts=json.loads(text_of(artifact.facts)))
        with self._state.lock:
            self._state.artifacts[artifact.kind, artifact.key] = kept

    def artifact(self, kind: str, key: str) -> Artifact | None:
        with self._state.lock:
            found = self._state.artifacts.get((kind, key))
        return replace(found, facts=json.loads(text_of(found.facts))) if found else None
