"""What may be asked of a job's driver from another process."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

#: text that sorts by code point on every database
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Nobody has been asked anything yet."""
    op.add_column("jobs", sa.Column("requested", TEXT, nullable=True))


def downgrade() -> None:
    """What was asked is forgotten; drivers of the older version do not look."""
    # not as a batch, which would rebuild the table: trials and events refer to its rows
    op.drop_column("jobs", "requested")
