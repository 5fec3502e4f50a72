"""The first schema: orgs, policies and credentials; mailboxes and enumerations; timelines, their log, its readers."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table of the first release."""
    _authorizer()
    _fetcher()
    _publisher()


def downgrade() -> None:
    """Drop every table, with all that is in them."""
    for table in (
        "consumers", "relay", "updates", "timelines", "enumerations", "mailboxes", "credentials", "policies", "orgs",
    ):  # fmt: skip
        op.drop_table(table)


def _authorizer() -> None:
    op.create_table(
        "orgs",
        sa.Column("org_id", sa.Text, primary_key=True),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("connection", sa.LargeBinary, nullable=False),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("policy", sa.LargeBinary, nullable=False),
        sa.Column("asked", sa.LargeBinary),
        sa.Column("reason", sa.Text),
        sa.Column("sentence", sa.Text),
        sa.Column("connected_at", sa.BigInteger),
        sa.Column("verify_at", sa.BigInteger),
        sa.Column("enumerate_at", sa.BigInteger),
    )
    op.create_index("orgs_tenant", "orgs", ["tenant_id"])
    op.create_table(
        "policies",
        sa.Column("org_id", sa.Text, primary_key=True),
        sa.Column("generation", sa.BigInteger, primary_key=True),
        sa.Column("policy", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "credentials",
        sa.Column("credential_id", sa.Text, primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
    )


def _fetcher() -> None:
    op.create_table(
        "mailboxes",
        sa.Column("org_id", sa.Text, primary_key=True),
        sa.Column("mailbox_id", sa.Text, primary_key=True),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("bucket", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("time_zone", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("seen_run", sa.Text),
        sa.Column("scope_run", sa.Text),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("lease_id", sa.Text),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("dirty", sa.Boolean, nullable=False),
        sa.Column("read_at", sa.BigInteger),
        sa.Column("read_generation", sa.BigInteger),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("due_at", sa.BigInteger),
    )
    op.create_index("mailboxes_due", "mailboxes", ["due_at"])
    op.create_index("mailboxes_address", "mailboxes", ["org_id", "address"])
    op.create_index("mailboxes_bucket", "mailboxes", ["org_id", "bucket"])
    op.create_table(
        "enumerations",
        sa.Column("org_id", sa.Text, primary_key=True),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("paused_until", sa.BigInteger),
        sa.Column("last_error", sa.Text),
        sa.Column("last_error_at", sa.BigInteger),
    )


def _publisher() -> None:
    op.create_table(
        "timelines",
        sa.Column("org_id", sa.Text, primary_key=True),
        sa.Column("mailbox_id", sa.Text, primary_key=True),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("coverage", sa.Text, nullable=False),
        sa.Column("bucket", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("time_zone", sa.Text, nullable=False),
        sa.Column("window_start", sa.BigInteger, nullable=False),
        sa.Column("window_end", sa.BigInteger, nullable=False),
        sa.Column("as_of", sa.BigInteger, nullable=False),
        sa.Column("blocks", sa.LargeBinary, nullable=False),
        sa.Column("events", sa.LargeBinary),
    )
    op.create_index("timelines_address", "timelines", ["org_id", "address"])
    op.create_table(
        "updates",
        sa.Column(
            "position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True
        ),
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("mailbox_id", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("updates_mailbox", "updates", ["org_id", "mailbox_id", "position"])
    op.create_table(
        "relay",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "consumers",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("token_hash", sa.Text, nullable=False, unique=True),
        sa.Column("orgs", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
