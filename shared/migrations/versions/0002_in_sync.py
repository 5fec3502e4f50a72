"""Staying in sync and leaving: audit log, purges, subscriptions, hints; the order in which mailboxes fall due."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ORGS = ("requested_at", "policy_at")
_MAILBOXES = ("started_ms", "retry_at", "subscribed_until")
_WORDS = ("waiting", "leaving_bucket", "leaving_reason")
_RUNS = {"held": sa.Integer, "held_of": sa.Integer, "allowed_until": sa.BigInteger, "doubted_at": sa.BigInteger}
_REFUSED = "the audit log is append-only"


def upgrade() -> None:
    """Add what following changes and disconnecting needs."""
    op.add_column("orgs", sa.Column("shown_from", sa.BigInteger, nullable=False, server_default="0"))
    for column in _ORGS:
        op.add_column("orgs", sa.Column(column, sa.BigInteger))
    _audit()
    _purges()
    _fetcher()
    _append_only()


def downgrade() -> None:
    """Take it away again; the audit log goes with it."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER audit_append_only ON audit")
        op.execute("DROP FUNCTION audit_append_only()")
    op.drop_table("subscriptions")
    for column in _RUNS:
        op.drop_column("enumerations", column)
    op.drop_index("mailboxes_due", "mailboxes")
    for column in (*_MAILBOXES, *_WORDS):
        op.drop_column("mailboxes", column)
    op.create_index("mailboxes_due", "mailboxes", ["due_at"])
    op.drop_table("purges")
    op.drop_table("audit")
    for column in (*_ORGS, "shown_from"):
        op.drop_column("orgs", column)


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("entry", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("chain", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("details", sa.LargeBinary, nullable=False),
        sa.Column("previous", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("audit_chain", "audit", ["chain", "number"], unique=True)


def _purges() -> None:
    op.create_table(
        "purges",
        sa.Column("purge_id", sa.Text, primary_key=True),
        sa.Column("org_id", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("asked_at", sa.BigInteger),
        sa.Column("done", sa.Text, nullable=False),
        sa.Column("counts", sa.LargeBinary, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("audit_hash", sa.Text),
    )
    op.create_index("purges_org", "purges", ["org_id"])


def _fetcher() -> None:
    for column in _MAILBOXES:
        op.add_column("mailboxes", sa.Column(column, sa.BigInteger))
    for column in _WORDS:
        op.add_column("mailboxes", sa.Column(column, sa.Text))
    op.drop_index("mailboxes_due", "mailboxes")
    op.create_index("mailboxes_due", "mailboxes", ["org_id", "due_at"])
    for column, kind in _RUNS.items():
        op.add_column("enumerations", sa.Column(column, kind))
    op.create_table(
        "subscriptions",
        sa.Column("org_id", sa.Text, primary_key=True),
        sa.Column("mailbox_id", sa.Text, primary_key=True),
        sa.Column("subscription_id", sa.Text, unique=True),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("wanted", sa.Boolean, nullable=False),
        sa.Column("act_at", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text),
    )
    op.create_index("subscriptions_act", "subscriptions", ["act_at"])


def _append_only() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_no_{change.lower()} BEFORE {change} ON audit"
                f" BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION '{_REFUSED}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit"
        " FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()"
    )
