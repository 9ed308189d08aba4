"""How much machines differ from themselves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

#: text that sorts by code point on every database
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Nothing is known of any machine yet; what earlier jobs measured stays where it is."""
    op.create_table(
        "noise_floors",
        sa.Column("machine_key", TEXT, nullable=False),
        sa.Column("runtime_key", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("host", TEXT, nullable=False),
        sa.Column("runtime", TEXT, nullable=False),
        sa.Column("model", TEXT, nullable=False),
        sa.Column("sittings", sa.Integer(), nullable=False),
        sa.Column("sessions", sa.Integer(), nullable=False),
        sa.Column("session_sd", sa.Float(), nullable=False),
        sa.Column("pair_sd", sa.Float(), nullable=False),
        sa.Column("floor", sa.Float(), nullable=False),
        sa.Column("median_ms", sa.Float(), nullable=False),
        sa.Column("taken_ms", sa.BigInteger(), nullable=False),
        sa.Column("record", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("machine_key", "runtime_key", "source", name="pk_noise_floors"),
    )


def downgrade() -> None:
    """What was learned is forgotten; the luck of sessions is assumed again."""
    op.drop_table("noise_floors")
