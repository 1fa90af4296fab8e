"""The tables every service keeps in its own database, as its first migration creates them."""

PARTITIONS = 32

# event_log: the service's history in order, kept for ever, the source of every replay.
# The xid beside the number is what lets a reader tell "not yet committed" from "never there" (see replay.py).
EVENT_LOG = [
    """
    CREATE TABLE event_log (
        seq       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        xid       xid8 NOT NULL DEFAULT pg_current_xact_id(),
        event_id  uuid NOT NULL UNIQUE,
        type      text NOT NULL,
        subject   text NOT NULL,
        sequence  bigint NOT NULL,
        time      timestamptz NOT NULL,
        recorded_at timestamptz NOT NULL DEFAULT now(),
        body      json NOT NULL,
        UNIQUE (subject, sequence)
    )
    """,
    "CREATE INDEX event_log_xid_seq ON event_log (xid, seq)",
    "CREATE INDEX event_log_type_xid_seq ON event_log (type, xid, seq)",
    # outbox: what is still to be sent. A row here is unsent whatever its number, so there is no cursor and
    # no gap to fall into. Rows live for milliseconds: vacuum by count, not by share of an empty table.
    """
    CREATE TABLE outbox (
        seq         bigint PRIMARY KEY,
        part        smallint NOT NULL,
        bulk        boolean NOT NULL,
        attempts    integer NOT NULL DEFAULT 0,
        last_error  text
    ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, fillfactor = 80)
    """,
    "CREATE INDEX outbox_order ON outbox (bulk, seq)",
]

# inbox: the ids of events already applied. It outlives any retry; sequence guards against what comes later still.
INBOX = [
    """
    CREATE TABLE inbox (
        event_id     uuid PRIMARY KEY,
        received_at  timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX inbox_received_at ON inbox USING brin (received_at)",
]

# dead_letter: what the dead-letter queue was drained into, until an operator decides.
DEAD_LETTER = [
    """
    CREATE TABLE dead_letter (
        id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        event_id         uuid,
        type             text,
        subject          text,
        content_type     text,
        body             bytea NOT NULL,
        reason           text NOT NULL,
        attempts         integer NOT NULL,
        first_failed_at  timestamptz NOT NULL,
        last_failed_at   timestamptz NOT NULL,
        x_death          json,
        state            text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'requeued', 'discarded')),
        decided_at       timestamptz,
        decided_by       text
    )
    """,
    "CREATE INDEX dead_letter_open ON dead_letter (id) WHERE state = 'open'",
    # suspect: events being tried alone because they may have killed the process (see suspects.py). Mostly empty.
    "CREATE TABLE suspect (event_id uuid PRIMARY KEY, tries integer NOT NULL)",
]
