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
    Column("state", Text, nullable=False),  # requested | connected | attention | refused | disconnecting
    Column("kind", Text, nullable=False, server_default="graph"),  # of the connection in force: graph | ews
    Column("connection", LargeBinary, nullable=False),  # JSON of a Connection
    Column("tenant_id", Text, nullable=False),  # whose calendars they are: a tenant, or ews: and the server's host
    Column("policy", LargeBinary, nullable=False),  # JSON of the Policy asked for; in force once connected
    Column("asked", LargeBinary),  # JSON of a Connection to be verified while the one above stays in force
    Column("reason", Text),  # why it is not connected: a fixed word
    Column("sentence", Text),  # what the admin must do about it
    Column("connected_at", BigInteger),
    Column("verify_at", BigInteger),  # when a requested or refused org is (re)tried
    Column("enumerate_at", BigInteger),  # when its mailboxes are looked for next
    Column("shown_from", BigInteger, nullable=False, server_default="0"),  # what older generations read is not shown
    Column("requested_at", BigInteger),  # when the request to connect that counts was made
    Column("policy_at", BigInteger),  # when the word about the policy that counts was given
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

audit = Table(  # append-only: a trigger refuses every change
    "audit",
    metadata,
    Column("entry", _POSITION, primary_key=True, autoincrement=True),
    Column("chain", Text, nullable=False),  # an org's id, or "-" for what concerns the whole deployment
    Column("number", BigInteger, nullable=False),  # of the entry in its chain, from 1
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),  # a fixed word
    Column("details", LargeBinary, nullable=False),  # JSON object of fixed words and numbers; nothing personal
    Column("previous", Text, nullable=False),  # hash of the entry before in the chain, "" of the first
    Column("hash", Text, nullable=False),  # SHA-256 over all of the above but `entry`
    Index("audit_chain", "chain", "number", unique=True),
    sqlite_autoincrement=True,
)

purges = Table(  # one row for each disconnection; ended, it is the receipt
    "purges",
    metadata,
    Column("purge_id", Text, primary_key=True),
    Column("org_id", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("asked_at", BigInteger),  # when the services were asked last
    Column("done", Text, nullable=False),  # JSON list of the services that have nothing left
    Column("counts", LargeBinary, nullable=False),  # JSON object: what was deleted, by kind
    Column("ended_at", BigInteger),
    Column("audit_hash", Text),  # of the audit entry that closes it
    Index("purges_org", "org_id"),
)

sessions = Table(  # admins who are signed in on the setup page
    "sessions",
    metadata,
    Column("session_hash", Text, primary_key=True),  # SHA-256 of the random id in the cookie
    Column("org_id", Text, nullable=False),
    Column("actor", Text, nullable=False),  # who, as the platform names them
    Column("return_to", Text, nullable=False),  # where the platform wants them back, from its allow-list; or empty
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Index("sessions_org", "org_id"),
)

used_links = Table(  # signed links that were followed: each opens one session
    "used_links",
    metadata,
    Column("link_hash", Text, primary_key=True),  # SHA-256 of the link's id (jti)
    Column("until", BigInteger, nullable=False),  # when it could not be followed any more anyway
)

sign_ins = Table(  # an admin on the way to Microsoft and back: one use, ten minutes
    "sign_ins",
    metadata,
    Column("state_hash", Text, primary_key=True),  # SHA-256 of the state parameter
    Column("session_hash", Text, nullable=False),
    Column("org_id", Text, nullable=False),  # with which it goes, whoever's session it is of
    Column("kind", Text, nullable=False),  # sign_in | consent
    Column("sealed", LargeBinary, nullable=False),  # shared.vault: PKCE verifier, nonce, what is wanted
    Column("until", BigInteger, nullable=False),
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
    Column("leaving_bucket", Text),  # where the run that saw it last puts it, once its sweep may carry that out
    Column("leaving_reason", Text),
    Column("time_zone", Text, nullable=False, default=""),  # as Microsoft gave it
    Column("generation", BigInteger, nullable=False),  # of the enumeration that saw it last
    Column("seen_run", Text),  # the enumeration that saw it last
    Column("scope_run", Text),  # the enumeration that found it in a scope group
    Column("version", BigInteger, nullable=False, default=0),  # of the reading that started last
    Column("lease_id", Text),  # the message whose handling reads it now
    Column("lease_until", BigInteger),
    Column("dirty", Boolean, nullable=False, default=False),  # a hint is still to be answered by a reading
    Column("started_ms", BigInteger),  # when the last reading started, in milliseconds
    Column("waiting", Text),  # why its reading waits to be tried again: a fixed word
    Column("retry_at", BigInteger),  # and until when
    Column("subscribed_until", BigInteger),  # hints are promised up to then
    Column("read_at", BigInteger),  # when the last complete reading started
    Column("read_generation", BigInteger),  # the generation that reading was made under
    Column("failures", Integer, nullable=False, default=0),  # in a row
    Column("due_at", BigInteger),  # when it is read next without a hint
    Column("sync_state", Text),  # Exchange's word for how far its changes were followed when it was read last
    Column("working_hours", LargeBinary),  # JSON of WorkingHours, as Microsoft gave them
    Index("mailboxes_due", "org_id", "due_at"),
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
    Column("held", Integer),  # so many mailboxes would be removed, which waits for an operator's word
    Column("held_of", Integer),  # of so many
    Column("allowed_until", BigInteger),  # an operator allows a mass removal up to then
    Column("doubted_at", BigInteger),  # when the connection was doubted last, unless a pause was ordered since
)

subscriptions = Table(  # one for each mailbox that Microsoft is asked to send hints of
    "subscriptions",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("mailbox_id", Text, primary_key=True),
    Column("subscription_id", Text, unique=True),  # Microsoft's; null before it is created
    Column("expires_at", BigInteger),  # Microsoft's word
    Column("wanted", Boolean, nullable=False),  # false: it is to be deleted at Microsoft
    Column("act_at", BigInteger, nullable=False),  # when it is created, renewed or deleted
    Column("failures", Integer, nullable=False),  # in a row
    Column("reason", Text),  # of the last failure: a fixed word
    Index("subscriptions_act", "act_at"),
)

shares = Table(  # which replicas ask an Exchange server at present: they share what it may be asked at once
    "shares",
    metadata,
    Column("server", Text, primary_key=True),  # a hash of its host: the name is a customer's
    Column("replica", Text, primary_key=True),
    Column("until", BigInteger, nullable=False),
)

streams = Table(  # one for each group of mailboxes whose notifications one replica listens for
    "streams",
    metadata,
    Column("org_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("holder", Text, nullable=False),  # the replica
    Column("until", BigInteger, nullable=False),
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
    Column("working_hours", LargeBinary),  # JSON of WorkingHours, its zone an IANA name; null where they are not known
    Index("timelines_address", "org_id", "address"),
    Index("timelines_coverage", "org_id", "coverage"),  # how many are known, without reading what is known of them
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
    Index("updates_org", "org_id", "position"),  # who follows one org does not read the others'
    sqlite_autoincrement=True,
)

relay = Table(
    "relay",
    metadata,
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),  # `availability`: everything up to here is announced;
    # `forgotten`: of what lies at or before it, retention has deleted something: nobody can go on from before it
)

consumers = Table(
    "consumers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("token_hash", Text, nullable=False, unique=True),  # SHA-256 of a 256-bit random token
    Column("orgs", Text, nullable=False),  # JSON list of org ids, or ["*"]
    Column("created_at", BigInteger, nullable=False),
    Column(
        "departed", Text, nullable=False, server_default="{}"
    ),  # JSON: org that left its scope -> position that says so
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("webhook_id", Text, primary_key=True),
    Column("consumer", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("orgs", Text, nullable=False),  # JSON list of org ids within the consumer's scope; ["*"]: all of it
    Column("secret", LargeBinary, nullable=False),  # shared.vault: the signing secret
    Column("previous", LargeBinary),  # shared.vault: the one before, signed with as well
    Column("previous_until", BigInteger),  # up to then
    Column("position", BigInteger, nullable=False),  # what lies up to here was delivered, or waits in webhook_waits
    Column("state", Text, nullable=False),  # enabled | disabled
    Column("reason", Text),  # why it is disabled: a fixed word
    Column("created_at", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False),  # in a row, whatever the mailbox
    Column("failing_since", BigInteger),
    Column("next_try_at", BigInteger),  # nothing is sent before
    Column("lease_id", Text),  # the replica that sends
    Column("lease_until", BigInteger),
    Index("webhooks_consumer", "consumer"),
)

webhook_waits = Table(  # a mailbox whose update could not be delivered: its later ones wait behind it
    "webhook_waits",
    metadata,
    Column("webhook_id", Text, primary_key=True),
    Column("org_id", Text, primary_key=True),
    Column("mailbox_id", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),  # of the update that is tried next
    Column("attempts", Integer, nullable=False),  # made at it
    Column("first_at", BigInteger, nullable=False),  # when it was tried first
    Column("next_at", BigInteger, nullable=False),
    Index("webhook_waits_next", "webhook_id", "next_at"),
)

deliveries = Table(  # what was sent to webhooks lately, and how it went
    "deliveries",
    metadata,
    Column("delivery", _POSITION, primary_key=True, autoincrement=True),
    Column("webhook_id", Text, nullable=False),
    Column("position", BigInteger, nullable=False),  # in the update log; 0: a test
    Column("at", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("outcome", Text, nullable=False),  # delivered, or why not: a fixed word
    Column("status", Integer),  # HTTP
    Column("duration_ms", Integer, nullable=False),
    Index("deliveries_webhook", "webhook_id", "delivery"),
    sqlite_autoincrement=True,
)

feeds = Table(  # secret addresses at which a mailbox's busy time is read as a calendar
    "feeds",
    metadata,
    Column("feed_id", Text, primary_key=True),
    Column("secret_hash", Text, nullable=False, unique=True),  # SHA-256 of a 256-bit random word
    Column("consumer", Text, nullable=False),  # who made it; it shows nothing beyond its scope
    Column("org_id", Text, nullable=False),
    Column("mailbox_id", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("feeds_mailbox", "org_id", "mailbox_id"),
)

accesses = Table(  # how often each consumer asked what of whom: one row an hour
    "accesses",
    metadata,
    Column("hour", BigInteger, primary_key=True),  # its first second
    Column("consumer", Text, primary_key=True),
    Column("org_id", Text, primary_key=True),  # "" where it concerns no single org
    Column("operation", Text, primary_key=True),
    Column("status", Integer, primary_key=True),  # HTTP
    Column("count", BigInteger, nullable=False),
)
