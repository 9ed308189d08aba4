"""The first schema: jobs, trials, measurements, answers, artifacts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

#: text that sorts by code point on every database
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Everything; parents before children."""
    _artifacts()
    _datasets()
    _jobs()
    _machines()
    _meta()
    _models()
    _job_events()
    _targets()
    _bests()
    _finals()
    _layers()
    _trials()
    _attempts()
    _fronts()
    _measurements()


def downgrade() -> None:
    """Nothing is left but alembic's own table."""
    for table in (
        "measurements",
        "fronts",
        "attempts",
        "trials",
        "layers",
        "finals",
        "bests",
        "targets",
        "job_events",
        "models",
        "meta",
        "machines",
        "jobs",
        "datasets",
        "artifacts",
    ):
        op.drop_table(table)


def _artifacts() -> None:
    op.create_table(
        "artifacts",
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("sha256", TEXT, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("facts", TEXT, nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "key", name="pk_artifacts"),
    )


def _datasets() -> None:
    op.create_table(
        "datasets",
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("metric", TEXT, nullable=False),
        sa.Column("higher_is_better", sa.Boolean(), nullable=False),
        sa.Column("samples", TEXT, nullable=False),
        sa.Column("first_seen_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_datasets"),
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("spec", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("budget", sa.Integer(), nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("message", TEXT, nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("searched_s", sa.Float(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("lease_holder", TEXT, nullable=False),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_event", sa.Integer(), nullable=False),
        sa.Column("next_trial", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("jobs_by_name", "jobs", ["name", "id"], unique=False)
    op.create_index("jobs_by_owner", "jobs", ["owner", "id"], unique=False)
    op.create_index("jobs_by_state", "jobs", ["state", "id"], unique=False)


def _machines() -> None:
    op.create_table(
        "machines",
        sa.Column("host", TEXT, nullable=False),
        sa.Column("machine_key", TEXT, nullable=False),
        sa.Column("cpu", TEXT, nullable=False),
        sa.Column("cores", sa.Integer(), nullable=False),
        sa.Column("virtualisation", TEXT, nullable=False),
        sa.Column("isa", TEXT, nullable=False),
        sa.Column("record", TEXT, nullable=False),
        sa.Column("labels", TEXT, nullable=False),
        sa.Column("first_seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("host", "machine_key", name="pk_machines"),
    )


def _meta() -> None:
    op.create_table(
        "meta",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_meta"),
    )


def _models() -> None:
    op.create_table(
        "models",
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("opset", sa.Integer(), nullable=False),
        sa.Column("layers", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("first_seen_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_models"),
    )


def _job_events() -> None:
    op.create_table(
        "job_events",
        sa.Column("job", TEXT, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("data", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name="fk_job_events_jobs"),
        sa.PrimaryKeyConstraint("job", "seq", name="pk_job_events"),
    )


def _targets() -> None:
    op.create_table(
        "targets",
        sa.Column("job", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("record", TEXT, nullable=False),
        sa.Column("model", TEXT, nullable=True),
        sa.Column("dataset", TEXT, nullable=True),
        sa.Column("prepared_ms", sa.BigInteger(), nullable=True),
        sa.Column("materialized", sa.LargeBinary(), nullable=True),
        sa.Column("prepared", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["dataset"], ["datasets.digest"], name="fk_targets_datasets"),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name="fk_targets_jobs"),
        sa.ForeignKeyConstraint(["model"], ["models.digest"], name="fk_targets_models"),
        sa.PrimaryKeyConstraint("job", "name", name="pk_targets"),
    )


def _bests() -> None:
    op.create_table(
        "bests",
        sa.Column("job", TEXT, nullable=False),
        sa.Column("target", TEXT, nullable=False),
        sa.Column("trial", TEXT, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("record", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["job", "target"], ["targets.job", "targets.name"], name="fk_bests_targets"),
        sa.PrimaryKeyConstraint("job", "target", name="pk_bests"),
    )


def _finals() -> None:
    op.create_table(
        "finals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job", TEXT, nullable=False),
        sa.Column("target", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["job", "target"], ["targets.job", "targets.name"], name="fk_finals_targets"),
        sa.PrimaryKeyConstraint("id", name="pk_finals"),
        sa.UniqueConstraint("job", "target", "digest", name="uq_finals"),
    )


def _layers() -> None:
    op.create_table(
        "layers",
        sa.Column("job", TEXT, nullable=False),
        sa.Column("target", TEXT, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("op", TEXT, nullable=False),
        sa.Column("parameters", sa.BigInteger(), nullable=False),
        sa.Column("macs", sa.BigInteger(), nullable=False),
        sa.Column("record", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["job", "target"], ["targets.job", "targets.name"], name="fk_layers_targets"),
        sa.PrimaryKeyConstraint("job", "target", "position", name="pk_layers"),
    )
    op.create_index("layers_by_id", "layers", ["job", "target", "id"], unique=False)


def _trials() -> None:
    op.create_table(
        "trials",
        sa.Column("job", TEXT, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("target", TEXT, nullable=False),
        sa.Column("origin", TEXT, nullable=False),
        sa.Column("candidate", TEXT, nullable=False),
        sa.Column("choices", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("cause", TEXT, nullable=True),
        sa.Column("message", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["job", "target"], ["targets.job", "targets.name"], name="fk_trials_targets"),
        sa.PrimaryKeyConstraint("job", "number", name="pk_trials"),
    )
    op.create_index("trials_by_candidate", "trials", ["candidate"], unique=False)
    op.create_index("trials_by_state", "trials", ["job", "state"], unique=False)


def _attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("job", TEXT, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("outcome", TEXT, nullable=False),
        sa.Column("cause", TEXT, nullable=True),
        sa.Column("message", TEXT, nullable=False),
        sa.Column("tail", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["job", "number"], ["trials.job", "trials.number"], name="fk_attempts_trials"),
        sa.PrimaryKeyConstraint("job", "number", "token", name="pk_attempts"),
    )
    op.create_index("attempts_by_outcome", "attempts", ["job", "outcome"], unique=False)


def _fronts() -> None:
    op.create_table(
        "fronts",
        sa.Column("job", TEXT, nullable=False),
        sa.Column("target", TEXT, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("tied_with", sa.Integer(), nullable=True),
        sa.Column("feasible", sa.Boolean(), nullable=False),
        sa.Column("excess", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["job", "number"], ["trials.job", "trials.number"], name="fk_fronts_trials"),
        sa.ForeignKeyConstraint(["job", "target"], ["targets.job", "targets.name"], name="fk_fronts_targets"),
        sa.PrimaryKeyConstraint("job", "target", "number", name="pk_fronts"),
    )


def _measurements() -> None:
    op.create_table(
        "measurements",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job", TEXT, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("tier", TEXT, nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("final", sa.Integer(), nullable=True),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("verdict", TEXT, nullable=False),
        sa.Column("ratio", sa.Float(), nullable=False),
        sa.Column("ratio_low", sa.Float(), nullable=False),
        sa.Column("ratio_high", sa.Float(), nullable=False),
        sa.Column("sessions", sa.Integer(), nullable=False),
        sa.Column("pairs", sa.Integer(), nullable=False),
        sa.Column("median_ms", sa.Float(), nullable=False),
        sa.Column("reference_ms", sa.Float(), nullable=False),
        sa.Column("metric", TEXT, nullable=False),
        sa.Column("split", TEXT, nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("reference_score", sa.Float(), nullable=False),
        sa.Column("drop_value", sa.Float(), nullable=False),
        sa.Column("drop_low", sa.Float(), nullable=False),
        sa.Column("drop_high", sa.Float(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("peak_memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("artifact_sha256", TEXT, nullable=False),
        sa.Column("host", TEXT, nullable=False),
        sa.Column("runtime", TEXT, nullable=False),
        sa.Column("machine_key", TEXT, nullable=False),
        sa.Column("runtime_key", TEXT, nullable=False),
        sa.Column("summary", TEXT, nullable=False),
        sa.Column("outcomes", sa.LargeBinary(), nullable=False),
        sa.Column("weights", sa.LargeBinary(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["final"], ["finals.id"], name="fk_measurements_finals"),
        sa.ForeignKeyConstraint(["job", "number"], ["trials.job", "trials.number"], name="fk_measurements_trials"),
        sa.PrimaryKeyConstraint("id", name="pk_measurements"),
    )
    op.create_index("measurements_by_trial", "measurements", ["job", "number", "role"], unique=False)
    op.create_index(
        "one_accepted_per_trial",
        "measurements",
        ["job", "number"],
        unique=True,
        sqlite_where=sa.text("role = 'trial'"),
        postgresql_where=sa.text("role = 'trial'"),
    )
