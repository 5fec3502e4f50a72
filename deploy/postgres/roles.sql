-- One role for each service, with what it needs and nothing more. Who writes which table stands in shared/tables.py.
-- Run it as the owner of the tables, after the schema is there; safe to repeat. Passwords are set elsewhere:
-- `python -m deploy.prepare` does both. The normalizer has no role: it has no business in a database.

DO $$
DECLARE
    service text;
BEGIN
    FOREACH service IN ARRAY ARRAY['busyline_authorizer', 'busyline_fetcher', 'busyline_publisher'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = service) THEN
            EXECUTE format('CREATE ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOBYPASSRLS', service);
        END IF;
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), service);
    END LOOP;
END
$$;

-- What an earlier release granted, or a hand, does not stay.
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, busyline_authorizer, busyline_fetcher, busyline_publisher;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, busyline_authorizer, busyline_fetcher, busyline_publisher;
REVOKE CREATE ON SCHEMA public FROM PUBLIC, busyline_authorizer, busyline_fetcher, busyline_publisher;
GRANT USAGE ON SCHEMA public TO busyline_authorizer, busyline_fetcher, busyline_publisher;

-- Each asks at start-up whether the schema is its own release's.
GRANT SELECT ON alembic_version TO busyline_authorizer, busyline_fetcher, busyline_publisher;

-- Who is connected, under which policy, in which generation: everybody reads it, the authorizer alone writes it.
-- An older policy is never changed, so nobody may.
GRANT SELECT ON orgs, policies TO busyline_authorizer, busyline_fetcher, busyline_publisher;
GRANT INSERT, UPDATE, DELETE ON orgs TO busyline_authorizer;
GRANT INSERT, DELETE ON policies TO busyline_authorizer;

-- Sealed credentials: the authorizer keeps them, the fetcher uses them, nobody else sees them.
GRANT SELECT, INSERT, UPDATE, DELETE ON credentials TO busyline_authorizer;
GRANT SELECT ON credentials TO busyline_fetcher;

-- The setup page: who is signed in, which links were followed, who is on the way to Microsoft and back.
GRANT SELECT, INSERT, UPDATE, DELETE ON sessions, used_links, sign_ins TO busyline_authorizer;

-- Who did what, and what was deleted when an org left: nobody changes or deletes an entry of the audit log.
GRANT SELECT, INSERT ON audit TO busyline_authorizer;
GRANT USAGE ON SEQUENCE audit_entry_seq TO busyline_authorizer;
GRANT SELECT, INSERT, UPDATE ON purges TO busyline_authorizer;
GRANT SELECT ON purges TO busyline_fetcher, busyline_publisher;

-- What is known of each mailbox: the fetcher writes it, the publisher shows it.
GRANT SELECT, INSERT, UPDATE, DELETE ON mailboxes, enumerations, subscriptions, shares, streams TO busyline_fetcher;
GRANT SELECT ON mailboxes, enumerations, subscriptions TO busyline_publisher;

-- What is published, and to whom: the publisher's alone.
GRANT SELECT, INSERT, UPDATE, DELETE ON timelines, updates, relay, consumers TO busyline_publisher;
GRANT SELECT, INSERT, UPDATE, DELETE ON webhooks, webhook_waits, deliveries, feeds, accesses TO busyline_publisher;
GRANT USAGE, SELECT ON SEQUENCE updates_position_seq TO busyline_publisher;  -- a position beyond it is of no log of ours
GRANT USAGE ON SEQUENCE deliveries_delivery_seq TO busyline_publisher;

-- A policy made stricter erases what it forbids in the transaction that puts it in force (docs/decisions), and a receipt
-- counts what an org had: the authorizer may blank details, delete updates and count rows; it reads no content.
GRANT UPDATE (events), SELECT (org_id, mailbox_id) ON timelines TO busyline_authorizer;
GRANT DELETE, SELECT (org_id, mailbox_id, generation, type) ON updates TO busyline_authorizer;
GRANT SELECT ON mailboxes, enumerations TO busyline_authorizer;  -- the setup page shows each mailbox and why it waits
GRANT SELECT (org_id, mailbox_id, coverage) ON timelines TO busyline_authorizer;
GRANT SELECT (org_id, mailbox_id) ON subscriptions TO busyline_authorizer;
