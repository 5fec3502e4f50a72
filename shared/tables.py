"""Every table, with the one service that writes it; others may only read. Instants are UTC seconds in bigint columns.

Alembic's revisions (shared/migrations) must arrive at exactly these tables; a test compares them on both databases.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

metadata = MetaData()

# A rising position: bigint identity on PostgreSQL, rowid alias with AUTOINCREMENT (never reused) on SQLite.
_POSITION = BigInteger().with_variant(Integer(), "sqlite")

# -- written by the authorizer ------------------------------------------------------------------------------------

orgs = Table(
    "orgs",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("generation", BigInteger, nullable=False),
    Column("state", Text, nullable=False),  # requested | connected | refused
    Column("connection", LargeBinary, nullable=False),  # JSON of GraphConnection
    Column("tenant_id", Text, nullable=False),  # a tenant belongs to at most one org: see the unique index
    Column("policy", LargeBinary, nullable=False),  # JSON of the Policy asked for; in force once connected
    Column("asked", LargeBinary),  # JSON of a GraphConnection to be verified while the one above stays in force
    Column("reason", Text),  # why it is not connected: a fixed word
    Column("sentence", Text),  # what the admin must do about it
    Column("connected_at", BigInteger),
    Column("verify_at", BigInteger),  # when a requested or refused org is (re)tried
    Column("enumerate_at", BigInteger),  # when its mailboxes are looked for next
    Index("orgs_tenant", "tenant_id"),
)

policies = Table(
    "policies",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("generation", BigInteger, primary_key=True),
    Column("policy", LargeBinary, nullable=False),  # JSON of Policy; never changed once written
    Column("created_at", BigInteger, nullable=False),
)

credentials = Table(
    "credentials",
    metadata,
    Column("credential_id", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),  # shared.vault
    Column("changed_at", BigInteger, nullable=False),
)

# -- written by the fetcher ---------------------------------------------------------------------------------------

mailboxes = Table(
    "mailboxes",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("mailbox_id", Text, primary_key=True),
    Column("address", Text, nullable=False),  # lower case
    Column("kind", Text, nullable=False),
    Column("bucket", Text, nullable=False),
    Column("reason", Text),
    Column("time_zone", Text, nullable=False, default=""),  # as Microsoft gave it
    Column("generation", BigInteger, nullable=False),  # of the enumeration that saw it last
    Column("seen_run", Text),  # the enumeration that saw it last
    Column("scope_run", Text),  # the enumeration that found it in a scope group
    Column("version", BigInteger, nullable=False, default=0),  # of the reading that started last
    Column("lease_id", Text),  # the message whose handling reads it now
    Column("lease_until", BigInteger),
    Column("dirty", Boolean, nullable=False, default=False),  # a hint arrived while it was being read
    Column("read_at", BigInteger),  # when the last complete reading started
    Column("read_generation", BigInteger),  # the generation that reading was made under
    Column("failures", Integer, nullable=False, default=0),  # in a row
    Column("due_at", BigInteger),  # when it is read next without a hint
    Index("mailboxes_due", "due_at"),
    Index("mailboxes_address", "org_id", "address"),
    Index("mailboxes_bucket", "org_id", "bucket"),
)

enumerations = Table(
    "enumerations",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("run", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("paused_until", BigInteger),  # a pause Microsoft ordered for the whole tenant
    Column("last_error", Text),  # a fixed word
    Column("last_error_at", BigInteger),
)

# -- written by the publisher -------------------------------------------------------------------------------------

timelines = Table(
    "timelines",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("mailbox_id", Text, primary_key=True),
    Column("address", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("coverage", Text, nullable=False),
    Column("bucket", Text, nullable=False),
    Column("reason", Text),
    Column("time_zone", Text, nullable=False),
    Column("window_start", BigInteger, nullable=False),
    Column("window_end", BigInteger, nullable=False),
    Column("as_of", BigInteger, nullable=False),
    Column("blocks", LargeBinary, nullable=False),  # JSON [[start, end, status], ...]
    Column("events", LargeBinary),  # JSON of the public events; null under free/busy only
    Index("timelines_address", "org_id", "address"),
)

updates = Table(
    "updates",
    metadata,
    Column("position", _POSITION, primary_key=True, autoincrement=True),
    Column("org_id", Text, nullable=False),
    Column("mailbox_id", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),  # JSON of the public message, the CloudEvent's data
    Index("updates_mailbox", "org_id", "mailbox_id", "position"),  # its last update without reading all of them
    sqlite_autoincrement=True,
)

relay = Table(
    "relay",
    metadata,
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),  # everything up to here is announced
)

consumers = Table(
    "consumers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("token_hash", Text, nullable=False, unique=True),  # SHA-256 of a 256-bit random token
    Column("orgs", Text, nullable=False),  # JSON list of org ids, or ["*"]
    Column("created_at", BigInteger, nullable=False),
)
