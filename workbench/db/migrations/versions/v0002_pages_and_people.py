"""Leases know their page, people their role; notes given after a vote; one open lease a slot.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_OPEN = sa.text("ended_at IS NULL")
_LIVE = sa.text("undone_at IS NULL")


def upgrade() -> None:
    """Add the columns, the indexes and the table."""
    op.add_column(
        "annotator", sa.Column("role", sa.Text(), nullable=False, server_default="annotator")
    )
    op.add_column(
        "review_token", sa.Column("seen_at", sa.Double(), nullable=False, server_default="0")
    )
    op.add_column("lease", sa.Column("holder", sa.Text(), nullable=True))
    op.create_index(
        "lease_once", "lease", ["slot_id"], unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN
    )
    op.create_index("vote_item", "vote", ["item_id"])
    op.create_index("vote_person", "vote", ["round_id", "annotator_id", "created_at"])
    op.create_index(
        "skip_once",
        "skip",
        ["annotator_id", "item_id"],
        unique=True,
        sqlite_where=_LIVE,
        postgresql_where=_LIVE,
    )
    op.add_column("skip", sa.Column("client_at", sa.Double(), nullable=True))
    op.create_index("skip_item", "skip", ["item_id"])
    op.create_table(
        "amendment",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("vote_id", sa.Text(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Double(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotator.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_amendment_vote_id", "amendment", ["vote_id"])
