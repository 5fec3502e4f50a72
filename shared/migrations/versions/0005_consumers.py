"""What downstream applications get: webhooks, feeds, working hours, how often each consumer asked."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add what consumers need."""
    op.add_column("mailboxes", sa.Column("working_hours", sa.LargeBinary))
    op.add_column("timelines", sa.Column("working_hours", sa.LargeBinary))
    op.add_column("consumers", sa.Column("departed", sa.Text, nullable=False, server_default="{}"))
    op.create_index("updates_org", "updates", ["org_id", "position"])
    _webhooks()
    op.create_table(
        "feeds",
        sa.Column("feed_id", sa.Text, primary_key=True),
        sa.Column("secret_hash", sa.Text, nullable=False, unique=True),
        sa.Column("consumer", sa.Text, nullable=False),
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("mailbox_id", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_index("feeds_mailbox", "feeds", ["org_id", "mailbox_id"])
    op.create_table(
        "accesses",
        sa.Column("hour", sa.BigInteger, primary_key=True),
        sa.Column("consumer", sa.Text, primary_key=True),
        sa.Column("org_id", sa.Text, primary_key=True),
        sa.Column("operation", sa.Text, primary_key=True),
        sa.Column("status", sa.Integer, primary_key=True),
        sa.Column("count", sa.BigInteger, nullable=False),
    )


def _webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column("webhook_id", sa.Text, primary_key=True),
        sa.Column("consumer", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("orgs", sa.Text, nullable=False),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("previous", sa.LargeBinary),
        sa.Column("previous_until", sa.BigInteger),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("failing_since", sa.BigInteger),
        sa.Column("next_try_at", sa.BigInteger),
        sa.Column("lease_id", sa.Text),
        sa.Column("lease_until", sa.BigInteger),
    )
    op.create_index("webhooks_consumer", "webhooks", ["consumer"])
    op.create_table(
        "webhook_waits",
        sa.Column("webhook_id", sa.Text, primary_key=True),
        sa.Column("org_id", sa.Text, primary_key=True),
        sa.Column("mailbox_id", sa.Text, primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("first_at", sa.BigInteger, nullable=False),
        sa.Column("next_at", sa.BigInteger, nullable=False),
    )
    op.create_index("webhook_waits_next", "webhook_waits", ["webhook_id", "next_at"])
    op.create_table(
        "deliveries",
        sa.Column("delivery", _POSITION, primary_key=True, autoincrement=True),
        sa.Column("webhook_id", sa.Text, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("duration_ms", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("deliveries_webhook", "deliveries", ["webhook_id", "delivery"])


def downgrade() -> None:
    """Take it away again."""
    for table in ("accesses", "feeds", "deliveries", "webhook_waits", "webhooks"):
        op.drop_table(table)
    op.drop_index("updates_org", "updates")
    op.drop_column("consumers", "departed")
    op.drop_column("timelines", "working_hours")
    op.drop_column("mailboxes", "working_hours")
