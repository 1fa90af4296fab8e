"""Captured changes, the read model, and the functions the listing calls. All in schema ``gateway``."""

from alembic import op

from shared import tables

revision = "0001"
down_revision = None

CAPTURE = [
    # booking_change: what the trigger copied, until it became an event. seq is taken under the booking's row lock,
    # so within one booking its order is the order of commits.
    """
    CREATE TABLE booking_change (
        seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        op           "char" NOT NULL,
        booking_id   text NOT NULL,
        row          json NOT NULL,
        changed_at   timestamptz NOT NULL,
        traceparent  text
    ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, fillfactor = 80)
    """,
    # A captured row no event could be made of: kept, so that nothing is lost.
    """
    CREATE TABLE booking_change_failed (
        seq         bigint PRIMARY KEY,
        op          "char" NOT NULL,
        booking_id  text NOT NULL,
        row         json NOT NULL,
        changed_at  timestamptz NOT NULL,
        error       text NOT NULL,
        failed_at   timestamptz NOT NULL DEFAULT now()
    )
    """,
]

READ_MODEL = [
    # written: whether the legacy row has it. The partial indexes are the write-back's queue.
    """
    CREATE TABLE booking_user (
        booking_id  text PRIMARY KEY,
        sequence    bigint NOT NULL,
        user_id     uuid NOT NULL,
        written     boolean NOT NULL DEFAULT false
    ) WITH (fillfactor = 80)
    """,
    "CREATE INDEX booking_user_due ON booking_user (booking_id) WHERE NOT written",
    "CREATE INDEX booking_user_user_id ON booking_user (user_id)",
    # Amounts are minor units of currency; flag is why a payment was not written into its booking; inferred_fields are
    # what was filled in of a migrated one.
    """
    CREATE TABLE booking_payment (
        payment_id  text PRIMARY KEY,
        sequence    bigint NOT NULL,
        booking_id  text,
        status      text NOT NULL,
        currency    text NOT NULL,
        received    bigint NOT NULL,
        refunded    bigint NOT NULL,
        disputed    bigint NOT NULL,
        open_disputes  integer NOT NULL,
        method      text,
        reference   text,
        paid_at     timestamptz NOT NULL,
        migrated    boolean NOT NULL,
        amount      bigint NOT NULL,
        net         bigint NOT NULL,
        card_brand  text,
        card_last4  text,
        stripe_payment_intent_id  text COLLATE "C",
        stripe_charge_id          text COLLATE "C",
        created_at  timestamptz NOT NULL,
        inferred_fields  json NOT NULL DEFAULT '[]',
        written     boolean NOT NULL DEFAULT false,
        flag        text CHECK (flag IN ('booking_cancelled', 'booking_missing'))
    ) WITH (fillfactor = 80)
    """,
    "CREATE INDEX booking_payment_booking_id ON booking_payment (booking_id)",
    """
    CREATE INDEX booking_payment_due ON booking_payment (booking_id)
    WHERE NOT written AND NOT migrated AND status = 'succeeded' AND booking_id IS NOT NULL
    """,
    "CREATE INDEX booking_payment_flag ON booking_payment (flag) WHERE flag IS NOT NULL",
]

FUNCTIONS = [
    # The object in text that holds JSON, be it encoded once more; NULL when there is none.
    """
    CREATE FUNCTION gateway.decoded(contact text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
    DECLARE
        value jsonb;
    BEGIN
        value := CAST(contact AS jsonb);
        IF jsonb_typeof(value) = 'string' THEN
            value := CAST(value #>> '{}' AS jsonb);
        END IF;
        RETURN CASE WHEN jsonb_typeof(value) = 'object' THEN value END;
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
        RETURN NULL;
    END $$
    """,
    # JavaScript's form of times outside the years 1 to 9999; NULL for what it has no time for.
    """
    CREATE FUNCTION gateway.far_time(moment timestamptz) RETURNS text LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE AS $$
    DECLARE
        year integer;
    BEGIN
        IF NOT isfinite(moment) OR moment > '275760-09-13 00:00:00Z' THEN
            RETURN NULL;
        END IF;
        year := extract(year FROM moment AT TIME ZONE 'UTC');
        year := year + CASE WHEN year < 0 THEN 1 ELSE 0 END;  -- 1 BC is the year 0
        RETURN CASE WHEN year BETWEEN 0 AND 9999 THEN lpad(CAST(year AS text), 4, '0')
                    ELSE CASE WHEN year < 0 THEN '-' ELSE '+' END || lpad(CAST(abs(year) AS text), 6, '0') END
            || to_char(moment AT TIME ZONE 'UTC', '-MM-DD"T"HH24:MI:SS.MS"Z"');
    END $$
    """,
    # "undefined" is what the old server wrote where there was nothing.
    """
    CREATE FUNCTION gateway.shown(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT nullif(nullif(btrim(value, E' \\t\\r\\n'), ''), 'undefined')
    $$
    """,
    # The one place that makes a name to show; empty when there is none.
    """
    CREATE FUNCTION gateway.display_name(first_name text, last_name text, name text DEFAULT NULL) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE AS $$
        SELECT coalesce(nullif(concat_ws(' ', gateway.shown(first_name), gateway.shown(last_name)), ''),
                        gateway.shown(name), '')
    $$
    """,
]


def upgrade() -> None:
    for statement in [
        *tables.EVENT_LOG,
        *tables.INBOX,
        *tables.DEAD_LETTER,
        *CAPTURE,
        *READ_MODEL,
        *FUNCTIONS,
    ]:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("tables that hold data are not dropped; restore a backup instead")
