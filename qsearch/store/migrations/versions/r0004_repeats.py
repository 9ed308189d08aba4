"""What was measured of a machine, found without reading every measurement."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """An index; nothing that is kept changes."""
    op.create_index("measurements_by_machine", "measurements", ["machine_key", "id"])


def downgrade() -> None:
    """The same answers, slower."""
    op.drop_index("measurements_by_machine", table_name="measurements")
