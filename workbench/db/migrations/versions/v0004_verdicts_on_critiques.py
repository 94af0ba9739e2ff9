"""What people say of critiques.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "critique_verdict",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("critique", sa.Text(), nullable=False),
        sa.Column("constitution", sa.Text(), nullable=False),
        sa.Column("principle", sa.Text(), nullable=False),
        sa.Column("critic", sa.Text(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), sa.ForeignKey("annotator.id"), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text()),
        sa.Column("created_at", sa.Double(), nullable=False),
    )
    op.create_index("critique_verdict_of", "critique_verdict", ["critique"])
    op.create_index("critique_verdict_person", "critique_verdict", ["annotator_id", "created_at"])
