"""The ledger of the history import: runs, their chunks, one row per booking, and what people signed."""

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS: list[str] = [
    # import_run: one move of the history. Only the process that knows token may go on, so one that was thought dead
    # and comes back changes nothing. plan is what held at the start: columns, statuses, the table's checksum.
    """
    CREATE TABLE import_run (
        id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        state         text NOT NULL CHECK (state IN ('running', 'paused', 'imported', 'failed',
                                                     'rolling_back', 'rolled_back')),
        token         uuid NOT NULL,
        started_by    text NOT NULL,
        started_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
        heartbeat_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
        finished_at   timestamptz,
        position      text,
        chunk_rows    integer NOT NULL,
        remark        text,
        code_version  text NOT NULL,
        plan          json NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX import_run_one ON import_run ((true)) WHERE state NOT IN ('rolled_back')",
    """
    CREATE TABLE import_chunk (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        run_id      bigint NOT NULL REFERENCES import_run (id),
        first_id    text NOT NULL,
        last_id     text NOT NULL,
        rows        integer NOT NULL,
        took_ms     integer NOT NULL,
        sha256      bytea NOT NULL,
        done_at     timestamptz NOT NULL DEFAULT clock_timestamp()
    )
    """,
    "CREATE INDEX import_chunk_done_at ON import_chunk (run_id, done_at)",
    # import_item: what became of each booking. The row's own copy stays where it is: here is its hash, and of its
    # content only what sums are made of; of who booked, a digest of the address, while users were not told of them.
    # Whether it was linked and its payment recorded stands in booking_user and booking_payment, filled by events: see
    # the view import_ledger.
    """
    CREATE TABLE import_item (
        booking_id   text PRIMARY KEY,
        run_id       bigint NOT NULL REFERENCES import_run (id),
        outcome      text NOT NULL CHECK (outcome IN ('published', 'set_aside', 'waived', 'withdrawn')),
        code         text,
        detail       text,
        attempts     integer NOT NULL DEFAULT 1,
        sha256       bytea NOT NULL,
        event_id     uuid,
        sequence     bigint,
        status       text,
        contact      text NOT NULL,
        class        text NOT NULL,
        amount       numeric,
        refunded     boolean NOT NULL DEFAULT false,
        currency     text NOT NULL,
        month        date,
        reviews      text[] NOT NULL DEFAULT '{}',
        correction   json,
        decided_by   text,
        decided_at   timestamptz,
        reason       text,
        imported_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
        person       bytea,
        booked_at    timestamptz
    ) WITH (fillfactor = 90)
    """,
    "CREATE INDEX import_item_open ON import_item (code) WHERE outcome = 'set_aside'",
    "CREATE INDEX import_item_person ON import_item (person) WHERE person IS NOT NULL",
    "CREATE INDEX import_item_review ON import_item (booking_id) WHERE reviews <> '{}'",
    # import_decision: who waived, corrected or tried again what, and why; only added to.
    """
    CREATE TABLE import_decision (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        subject     text NOT NULL,
        action      text NOT NULL,
        reason      text,
        decided_by  text NOT NULL,
        decided_at  timestamptz NOT NULL DEFAULT now(),
        facts       json
    )
    """,
    # migration_step: the customer's checklist, each step with its evidence and, where only a person can say it, a name.
    """
    CREATE TABLE migration_step (
        id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        step      text NOT NULL,
        passed    boolean NOT NULL,
        name      text,
        note      text,
        evidence  json NOT NULL,
        done_at   timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX migration_step_step ON migration_step (step, id)",
    # A link taken back is no link: the write-back then empties the legacy row's copy of it.
    "ALTER TABLE booking_user ALTER COLUMN user_id DROP NOT NULL",
    # One terminal outcome per booking and stage. A booking pays nothing by its class, or has its payment.
    """
    CREATE VIEW import_ledger AS
    SELECT i.*,
           CASE WHEN i.outcome <> 'published' THEN i.outcome
                WHEN u.user_id IS NOT NULL THEN 'linked' ELSE 'waiting' END AS link_outcome,
           u.user_id,
           CASE WHEN i.outcome <> 'published' THEN i.outcome
                WHEN i.class IN ('none', 'free', 'review', 'known') THEN i.class
                WHEN p.payments > 0 THEN 'recorded'
                WHEN p.canceled > 0 THEN 'canceled' ELSE 'waiting' END AS payment_outcome,
           p.payments, p.received, p.refunded_minor, p.pending
    FROM import_item i
    LEFT JOIN booking_user u USING (booking_id)
    CROSS JOIN LATERAL (  -- by the booking: a page of the ledger is read without all payments being summed
        SELECT count(*) FILTER (WHERE status IN ('succeeded', 'pending')) AS payments,
               sum(received) AS received, sum(refunded) AS refunded_minor,
               count(*) FILTER (WHERE status = 'pending') AS pending,
               count(*) FILTER (WHERE status NOT IN ('succeeded', 'pending')) AS canceled
        FROM booking_payment WHERE migrated AND booking_id = i.booking_id
    ) p
    """,
]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("tables that hold data are not dropped; restore a backup instead")
