"""Exchange servers: what sort of connection an org has, how far changes were followed, who asks a server."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what connections to Exchange servers need."""
    op.add_column("orgs", sa.Column("kind", sa.Text, nullable=False, server_default="graph"))
    op.add_column("mailboxes", sa.Column("sync_state", sa.Text))
    op.create_table(
        "shares",
        sa.Column("server", sa.Text, primary_key=True),
        sa.Column("replica", sa.Text, primary_key=True),
        sa.Column("until", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "streams",
        sa.Column("org_id", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Take it away again."""
    op.drop_table("streams")
    op.drop_table("shares")
    op.drop_column("mailboxes", "sync_state")
    op.drop_column("orgs", "kind")
