"""An index for reading labels in draw order.

Revision ID: 0003
"""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add it."""
    op.create_index("vote_of_slot", "vote", ["slot_id"])
