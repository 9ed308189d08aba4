"""What a job's model and data are, the machines that were seen, and where files are, in SQL."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import delete, select, update

from qsearch.contracts.codec import from_data
from qsearch.contracts.job import Lease
from qsearch.contracts.layer import Layer
from qsearch.contracts.ledger import Artifact
from qsearch.contracts.machine import Machine
from qsearch.contracts.noise import NoiseFloor
from qsearch.contracts.work import Materialized, Prepared
from qsearch.store import tables
from qsearch.store.clock import from_ms
from qsearch.store.database import Database
from qsearch.store.packing import Packed, pack, text_of, unpack
from qsearch.store.transaction import Transaction


class SqlPreparation:
    """The preparation's part of the ledger; promises as in `qsearch.contracts.ledger`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save_prepared(self, lease: Lease, target: str, materialized: Materialized, prepared: Prepared) -> None:
        facts, done = pack(Materialized, materialized), pack(Prepared, prepared)

        def work(tx: Transaction) -> None:
            tx.hold(lease, "save_prepared")
            tx.check_target(lease.job, target)
            _put_model(tx, done.record)
            _put_dataset(tx, facts.record)
            _put_layers(tx, lease.job, target, done.record)
            _put_prepared(tx, lease.job, target, facts, done)
            tx.append_event(
                lease.job, "prepared", {"target": target, "prepared": prepared.digest, "data": materialized.digest}
            )

        self._database.write(work)

    def prepared(self, job: str, target: str) -> tuple[Materialized, Prepared] | None:
        rows = tables.targets
        query = select(rows.c.materialized, rows.c.prepared).where(rows.c.job == job, rows.c.name == target)

        def work(tx: Transaction) -> tuple[Materialized, Prepared] | None:
            tx.job(job)
            row = tx.one(query)
            if row is None or row.prepared is None:
                return None
            return unpack(Materialized, row.materialized), unpack(Prepared, row.prepared)

        return self._database.read(work)

    def layers(self, job: str) -> Sequence[Layer]:
        rows, ready = tables.layers, tables.targets

        def work(tx: Transaction) -> Sequence[Layer]:
            tx.job(job)
            done = select(ready.c.name).where(ready.c.job == job, ready.c.prepared_ms.is_not(None))
            first = tx.one(done.order_by(ready.c.position).limit(1))
            if first is None:
                return []
            query = select(rows.c.record).where(rows.c.job == job, rows.c.target == first.name)
            return [from_data(Layer, json.loads(row.record)) for row in tx.all(query.order_by(rows.c.position))]

        return self._database.read(work)

    def remember_machine(self, machine: Machine, labels: Mapping[str, str]) -> None:
        def work(tx: Transaction) -> None:
            values = {
                "cpu": machine.cpu,
                "cores": machine.cores,
                "virtualisation": machine.virtualisation,
                "isa": " ".join(machine.isa),
                "record": text_of(machine),
                "labels": text_of(labels),
                "last_seen_ms": tx.now_ms,
            }
            key = {"host": machine.host, "machine_key": machine.key}
            tx.put(tables.machines, key, values, {"first_seen_ms": tx.now_ms})

        self._database.write(work)

    def machines(self) -> Sequence[Machine]:
        rows = tables.machines
        query = select(rows.c.record).order_by(rows.c.host, rows.c.machine_key)
        return self._database.read(lambda tx: [from_data(Machine, json.loads(row.record)) for row in tx.all(query)])

    def save_noise(self, noise: NoiseFloor) -> None:
        key = {name: getattr(noise, name) for name in ("machine_key", "runtime_key", "source")}
        plain = ("host", "runtime", "model", "sittings", "session_sd", "pair_sd", "floor", "median_ms")
        values = {name: getattr(noise, name) for name in plain}
        values |= {"sessions": len(noise.sessions), "record": text_of(replace(noise, taken=None))}
        self._database.write(lambda tx: tx.put(tables.noise_floors, key, {**values, "taken_ms": tx.now_ms}, {}))

    def noise(self, machine_key: str, runtime_key: str = "") -> Sequence[NoiseFloor]:
        rows = tables.noise_floors
        query = select(rows.c.record, rows.c.taken_ms).where(rows.c.machine_key == machine_key)
        if runtime_key:
            query = query.where(rows.c.runtime_key == runtime_key)
        newest = query.order_by(rows.c.taken_ms.desc(), rows.c.source, rows.c.runtime_key)
        return self._database.read(lambda tx: [_noise(row.record, row.taken_ms) for row in tx.all(newest)])

    def keep_artifact(self, artifact: Artifact) -> None:
        def work(tx: Transaction) -> None:
            values = {
                "sha256": artifact.sha256,
                "size_bytes": artifact.size_bytes,
                "facts": text_of(artifact.facts),
                "created_ms": tx.now_ms,
            }
            tx.put(tables.artifacts, {"kind": artifact.kind, "key": artifact.key}, values, {})

        self._database.write(work)

    def artifact(self, kind: str, key: str) -> Artifact | None:
        rows = tables.artifacts
        query = select(rows).where(rows.c.kind == kind, rows.c.key == key)

        def work(tx: Transaction) -> Artifact | None:
            row = tx.one(query)
            if row is None:
                return None
            return Artifact(
                kind=kind, key=key, sha256=row.sha256, size_bytes=row.size_bytes, facts=json.loads(row.facts)
            )

        return self._database.read(work)


def _noise(record: str, taken_ms: int) -> NoiseFloor:
    return replace(from_data(NoiseFloor, json.loads(record)), taken=from_ms(taken_ms))


def _put_model(tx: Transaction, prepared: Prepared) -> None:
    model = prepared.inspection
    values = {"opset": model.opset, "layers": len(model.layers), "size_bytes": model.size_bytes}
    tx.put(tables.models, {"digest": model.digest}, values, {"first_seen_ms": tx.now_ms})


def _put_dataset(tx: Transaction, materialized: Materialized) -> None:
    values = {
        "metric": materialized.metric,
        "higher_is_better": materialized.higher_is_better,
        "samples": text_of(materialized.samples),
    }
    tx.put(tables.datasets, {"digest": materialized.digest}, values, {"first_seen_ms": tx.now_ms})


def _put_layers(tx: Transaction, job: str, target: str, prepared: Prepared) -> None:
    rows = tables.layers
    tx.run(delete(rows).where(rows.c.job == job, rows.c.target == target))
    tx.add(rows, [_layer_row(job, target, position, layer) for position, layer in enumerate(prepared.layers)])


def _layer_row(job: str, target: str, position: int, layer: Layer) -> dict[str, object]:
    return {
        "job": job,
        "target": target,
        "position": position,
        "id": layer.id,
        "op": layer.op,
        "parameters": layer.parameters,
        "macs": layer.macs,
        "record": text_of(layer),
    }


def _put_prepared(tx: Transaction, job: str, target: str, facts: Packed[Materialized], done: Packed[Prepared]) -> None:
    rows = tables.targets
    tx.run(
        update(rows)
        .where(rows.c.job == job, rows.c.name == target)
        .values(
            model=done.record.inspection.digest,
            dataset=facts.record.digest,
            prepared_ms=tx.now_ms,
            materialized=facts.content,
            prepared=done.content,
        )
    )
