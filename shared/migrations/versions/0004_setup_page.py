"""The setup page: who is signed in, which links were followed, who is on the way to Microsoft and back."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what the setup page needs."""
    op.create_table(
        "sessions",
        sa.Column("session_hash", sa.Text, primary_key=True),
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("return_to", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
    )
    op.create_index("sessions_org", "sessions", ["org_id"])
    op.create_table(
        "used_links",
        sa.Column("link_hash", sa.Text, primary_key=True),
        sa.Column("until", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "sign_ins",
        sa.Column("state_hash", sa.Text, primary_key=True),
        sa.Column("session_hash", sa.Text, nullable=False),
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
    )
    op.create_index("timelines_coverage", "timelines", ["org_id", "coverage"])


def downgrade() -> None:
    """Take it away again."""
    op.drop_index("timelines_coverage", "timelines")
    op.drop_table("sign_ins")
    op.drop_table("used_links")
    op.drop_index("sessions_org", "sessions")
    op.drop_table("sessions")
