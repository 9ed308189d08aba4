"""The tables. Times are milliseconds since 1970 (`*_ms`); records are canonical JSON text or packed.

NOTE: what a person may ask in SQL are the views (`qsearch.store.views`); the tables are private and
change with every revision. What must never happen is written as a constraint here and not only in
code: one accepted measurement per trial is the index `one_accepted_per_trial`.
"""

from __future__ import annotations

import sqlalchemy
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
    text,
)

#: text that sorts by code point, as in SQLite and Python: a server's own order may put "aa" after "z",
#: and the newest job is the one with the greatest id
Text = sqlalchemy.Text().with_variant(sqlalchemy.Text(collation="C"), "postgresql")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s",
    }
)

#: facts about the database itself: its uuid
meta = Table("meta", metadata, Column("name", Text, primary_key=True), Column("value", Text, nullable=False))

models = Table(
    "models",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("opset", Integer, nullable=False),
    Column("layers", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("first_seen_ms", BigInteger, nullable=False),
)

datasets = Table(
    "datasets",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("metric", Text, nullable=False),
    Column("higher_is_better", Boolean, nullable=False),
    #: split name → number of samples
    Column("samples", Text, nullable=False),
    Column("first_seen_ms", BigInteger, nullable=False),
)

machines = Table(
    "machines",
    metadata,
    Column("host", Text, primary_key=True),
    Column("machine_key", Text, primary_key=True),
    Column("cpu", Text, nullable=False),
    Column("cores", Integer, nullable=False),
    Column("virtualisation", Text, nullable=False),
    Column("isa", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("first_seen_ms", BigInteger, nullable=False),
    Column("last_seen_ms", BigInteger, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("spec", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("budget", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("searched_s", Float, nullable=False),
    Column("epoch", Integer, nullable=False),
    #: empty when nobody drives the job
    Column("lease_holder", Text, nullable=False),
    Column("lease_until_ms", BigInteger, nullable=False),
    #: number of the newest event
    Column("last_event", Integer, nullable=False),
    #: number the next trial gets
    Column("next_trial", Integer, nullable=False),
    #: stop or cancel, asked of the driver of this epoch
    Column("requested", Text),
    Index("jobs_by_name", "name", "id"),
    Index("jobs_by_owner", "owner", "id"),
    Index("jobs_by_state", "state", "id"),
)

job_events = Table(
    "job_events",
    metadata,
    Column("job", Text, ForeignKey("jobs.id"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("data", Text, nullable=False),
)

#: the targets of a job, and what its model and data are for each once prepared
targets = Table(
    "targets",
    metadata,
    Column("job", Text, ForeignKey("jobs.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("model", Text, ForeignKey("models.digest")),
    Column("dataset", Text, ForeignKey("datasets.digest")),
    Column("prepared_ms", BigInteger),
    Column("materialized", LargeBinary),
    Column("prepared", LargeBinary),
)

layers = Table(
    "layers",
    metadata,
    Column("job", Text, primary_key=True),
    Column("target", Text, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("id", Text, nullable=False),
    Column("op", Text, nullable=False),
    Column("parameters", BigInteger, nullable=False),
    Column("macs", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
    ForeignKeyConstraint(["job", "target"], ["targets.job", "targets.name"]),
    Index("layers_by_id", "job", "target", "id"),
)

trials = Table(
    "trials",
    metadata,
    Column("job", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("target", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("candidate", Text, nullable=False),
    Column("choices", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("token", Integer, nullable=False),
    #: epoch of the lease under which it was started; 0 before
    Column("epoch", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Column("cause", Text),
    Column("message", Text, nullable=False),
    ForeignKeyConstraint(["job", "target"], ["targets.job", "targets.name"]),
    Index("trials_by_state", "job", "state"),
    Index("trials_by_candidate", "candidate"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("job", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("token", Integer, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    #: running, accepted, failed, requeued, cancelled
    Column("outcome", Text, nullable=False),
    Column("cause", Text),
    Column("message", Text, nullable=False),
    #: the last lines the failing process wrote
    Column("tail", Text, nullable=False),
    ForeignKeyConstraint(["job", "number"], ["trials.job", "trials.number"]),
    Index("attempts_by_outcome", "job", "outcome"),
)

finals = Table(
    "finals",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("record", LargeBinary, nullable=False),
    ForeignKeyConstraint(["job", "target"], ["targets.job", "targets.name"]),
    UniqueConstraint("job", "target", "digest"),
)

measurements = Table(
    "measurements",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job", Text, nullable=False),
    Column("number", Integer, nullable=False),
    #: trial: the one that was accepted for the trial; final: its numbers in a final sitting
    Column("role", Text, nullable=False),
    Column("tier", Text, nullable=False),
    Column("token", Integer, nullable=False),
    #: SHA-256 of the canonical JSON of the whole record
    Column("digest", Text, nullable=False),
    Column("final", Integer, ForeignKey("finals.id")),
    Column("at_ms", BigInteger, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("ratio", Float, nullable=False),
    Column("ratio_low", Float, nullable=False),
    Column("ratio_high", Float, nullable=False),
    Column("sessions", Integer, nullable=False),
    Column("pairs", Integer, nullable=False),
    Column("median_ms", Float, nullable=False),
    Column("reference_ms", Float, nullable=False),
    Column("metric", Text, nullable=False),
    Column("split", Text, nullable=False),
    Column("samples", Integer, nullable=False),
    Column("score", Float, nullable=False),
    Column("reference_score", Float, nullable=False),
    Column("drop_value", Float, nullable=False),
    Column("drop_low", Float, nullable=False),
    Column("drop_high", Float, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("peak_memory_bytes", BigInteger, nullable=False),
    Column("artifact_sha256", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("runtime", Text, nullable=False),
    Column("machine_key", Text, nullable=False),
    Column("runtime_key", Text, nullable=False),
    #: latency and accuracy without the per-sample arrays
    Column("summary", Text, nullable=False),
    #: float64 little-endian, zlib
    Column("outcomes", LargeBinary, nullable=False),
    Column("weights", LargeBinary, nullable=False),
    #: the whole record with its raw samples; null where `final` has it.
    #: Last, so that a row is read without the pages that hold it
    Column("record", LargeBinary),
    ForeignKeyConstraint(["job", "number"], ["trials.job", "trials.number"]),
    Index(
        "one_accepted_per_trial",
        "job",
        "number",
        unique=True,
        sqlite_where=text("role = 'trial'"),
        postgresql_where=text("role = 'trial'"),
    ),
    Index("measurements_by_trial", "job", "number", "role"),
    Index("measurements_by_machine", "machine_key", "id"),
)

fronts = Table(
    "fronts",
    metadata,
    Column("job", Text, primary_key=True),
    Column("target", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("rank", Integer, nullable=False),
    Column("tied_with", Integer),
    Column("feasible", Boolean, nullable=False),
    Column("excess", Float, nullable=False),
    ForeignKeyConstraint(["job", "target"], ["targets.job", "targets.name"]),
    ForeignKeyConstraint(["job", "number"], ["trials.job", "trials.number"]),
)

bests = Table(
    "bests",
    metadata,
    Column("job", Text, primary_key=True),
    Column("target", Text, primary_key=True),
    Column("trial", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
    ForeignKeyConstraint(["job", "target"], ["targets.job", "targets.name"]),
)

#: what A/A sittings have shown of a class of machines under a runtime, one row per series of them
noise_floors = Table(
    "noise_floors",
    metadata,
    Column("machine_key", Text, primary_key=True),
    Column("runtime_key", Text, primary_key=True),
    #: who sat: self-test:1, or a trial or final of a job
    Column("source", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("runtime", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("sittings", Integer, nullable=False),
    Column("sessions", Integer, nullable=False),
    Column("session_sd", Float, nullable=False),
    Column("pair_sd", Float, nullable=False),
    Column("floor", Float, nullable=False),
    Column("median_ms", Float, nullable=False),
    Column("taken_ms", BigInteger, nullable=False),
    #: the whole record but `taken`
    Column("record", Text, nullable=False),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("sha256", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("facts", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)
