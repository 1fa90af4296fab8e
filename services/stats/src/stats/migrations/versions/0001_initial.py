"""The journal, what was announced, rebuilds, and the first generation of the projection."""

from importlib import resources

from alembic import op

from shared import money, tables

revision = "0001"
down_revision = None


def _read(name: str) -> str:
    return (resources.files("stats.projection") / f"{name}.sql").read_text()


TABLES = [
    # Which schema readers and live applies use: exactly one is live. `cursor` is how far one that is being built has
    # come in the journal; `position` is what a retired one had applied, so that a rollback can bring it up to date.
    """
    CREATE TABLE generation (
        schema      text PRIMARY KEY,
        live        boolean NOT NULL,
        created_at  timestamptz NOT NULL DEFAULT now(),
        live_since  timestamptz,
        retired_at  timestamptz,
        position    pg_snapshot,
        cursor_xid  xid8 NOT NULL DEFAULT '0',
        cursor_seq  bigint NOT NULL DEFAULT 0
    )
    """,
    "CREATE UNIQUE INDEX generation_live ON generation (live) WHERE live",
    "INSERT INTO generation (schema, live, live_since) VALUES ('generation_1', true, now())",
    "CREATE SEQUENCE generation_number START 2",
    # What `user_totals.changed` last said of each user. It belongs to no generation, so a switch announces exactly
    # what differs, and the sequence goes on.
    """
    CREATE TABLE announced_totals (
        user_id             uuid PRIMARY KEY,
        sequence            bigint NOT NULL,
        total_bookings      bigint NOT NULL,
        currencies          jsonb NOT NULL,
        first_booking_date  timestamptz,
        last_booking_date   timestamptz,
        last_activity_date  timestamptz
    ) WITH (fillfactor = 80)
    """,
    # Users whose totals may differ in a generation from what was announced: looked at once it is live, and struck off
    # as they are announced or found unchanged.
    "CREATE TABLE to_announce (schema text, user_id uuid, PRIMARY KEY (schema, user_id))",
    # One row per rebuild ever started; who works on it holds the rebuild lock. `wish` is what an operator asks of it.
    """
    CREATE TABLE rebuild (
        id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        purpose       text NOT NULL CHECK (purpose IN ('switch', 'dry-run', 'verify', 'as-of', 'user')),
        schema        text NOT NULL,
        phase         text NOT NULL,
        state         text NOT NULL CHECK (state IN ('running', 'done', 'cancelled')),
        wish          text NOT NULL DEFAULT 'run' CHECK (wish IN ('run', 'pause', 'cancel')),
        rate          integer,
        as_of         timestamptz,
        operator      text NOT NULL,
        events        bigint NOT NULL DEFAULT 0,
        differences   bigint,
        switch_ms     double precision,
        started_at    timestamptz NOT NULL DEFAULT now(),
        finished_at   timestamptz
    )
    """,
    "CREATE UNIQUE INDEX rebuild_running ON rebuild (state) WHERE state = 'running'",
    # The slices of the journal it goes through, and how far each pass over them has come: noted in the transaction
    # that applied the slice, so a killed rebuild goes on where it was.
    """
    CREATE TABLE rebuild_slice (
        rebuild_id  bigint REFERENCES rebuild ON DELETE CASCADE,
        number      integer,
        after_xid   xid8 NOT NULL,
        after_seq   bigint NOT NULL,
        to_xid      xid8 NOT NULL,
        to_seq      bigint NOT NULL,
        events      bigint NOT NULL,
        PRIMARY KEY (rebuild_id, number)
    )
    """,
    """
    CREATE TABLE rebuild_pass (
        rebuild_id  bigint REFERENCES rebuild ON DELETE CASCADE,
        name        text,
        next_slice  integer NOT NULL DEFAULT 0,
        done        bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (rebuild_id, name)
    )
    """,
    # Every user whose totals a rebuild found different, with both.
    """
    CREATE TABLE rebuild_difference (
        rebuild_id  bigint NOT NULL REFERENCES rebuild ON DELETE CASCADE,
        user_id     uuid NOT NULL,
        live        jsonb NOT NULL,
        rebuilt     jsonb NOT NULL,
        PRIMARY KEY (rebuild_id, user_id)
    )
    """,
]

FUNCTIONS = [
    # The smallest uuid7 of a moment: what partitions of the journal are bounded by.
    """
    CREATE FUNCTION public.uuid7_floor(moment timestamptz) RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE RETURN
        CAST(rpad(lpad(to_hex(CAST(floor(extract(epoch FROM moment) * 1000) AS bigint)), 12, '0'), 32, '0') AS uuid)
    """,
    # Partitions for every month from the newest one there is to `ahead` months from now; what waited in the default
    # partition moves in. Everything before the first month has one partition, ids that are no uuid7 the default one.
    """
    CREATE FUNCTION public.extend_journal(ahead integer) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
        month  timestamptz;
        name   text;
        low    uuid;
        high   uuid;
    BEGIN
        PERFORM pg_advisory_xact_lock(7301955006);
        SELECT to_timestamp(max(substr(relname, 9)) || '-01 00 +00', 'YYYY_MM-DD HH24 TZH') + interval '1 month'
        INTO month FROM pg_class WHERE relname ~ '^journal_[0-9]{4}_[0-9]{2}$' AND relkind = 'r';
        IF month IS NULL THEN
            month := date_trunc('month', now(), 'UTC');
            EXECUTE format('CREATE TABLE public.journal_before PARTITION OF public.journal
                            FOR VALUES FROM (MINVALUE) TO (%L)', public.uuid7_floor(month));
            CREATE TABLE public.journal_other PARTITION OF public.journal DEFAULT;
        END IF;
        WHILE month <= now() + make_interval(months => ahead) LOOP
            name := 'journal_' || to_char(month AT TIME ZONE 'UTC', 'YYYY_MM');
            low := public.uuid7_floor(month);
            month := (month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
            high := public.uuid7_floor(month);
            EXECUTE format('CREATE TABLE public.%I (LIKE public.journal INCLUDING ALL)', name);
            PERFORM public.move_journal('public.journal_other', 'public.' || name, low, high);
            EXECUTE format('ALTER TABLE public.journal ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                           name, low, high);
        END LOOP;
    END $$
    """,
    """
    CREATE FUNCTION public.move_journal(source regclass, target regclass, low uuid, high uuid) RETURNS void
    LANGUAGE plpgsql AS $$
    DECLARE
        columns text := (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
                         WHERE attrelid = target AND attnum > 0 AND NOT attisdropped AND attgenerated = '');
    BEGIN
        EXECUTE format('WITH moved AS (DELETE FROM %s WHERE event_id >= %L AND event_id < %L RETURNING %s)
                        INSERT INTO %s (%s) SELECT %s FROM moved',
                       source, low, high, columns, target, columns, columns);
    END $$
    """,
    # Decimals of a currency on Stripe's wire; generated from the one table of them, in shared.money.
    f"""
    CREATE FUNCTION public.currency_exponent(currency text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
        CASE WHEN currency = ANY ('{{{",".join(sorted(money.ZERO_DECIMALS))}}}'::text[]) THEN 0
             WHEN currency = ANY ('{{{",".join(sorted(money.THREE_DECIMALS))}}}'::text[]) THEN 3
             ELSE 2 END
    """,
    # An amount always reads the same, whatever sums and differences it came from: "310.00", never "310.0".
    """
    CREATE FUNCTION public.amount_text(amount numeric, currency text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
        CAST(round(amount, greatest(min_scale(amount), public.currency_exponent(currency))) AS text)
    """,
    """
    CREATE FUNCTION public.minor_text(minor numeric, currency text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
        public.amount_text(minor / power(10::numeric, public.currency_exponent(currency)), currency)
    """,
]

FIRST_GENERATION = ["CREATE SCHEMA generation_1", "SET LOCAL search_path TO generation_1, public"]


def upgrade() -> None:
    for statement in [*tables.EVENT_LOG, *tables.DEAD_LETTER]:
        op.execute(statement)
    _run(_read("journal"))
    for statement in [*TABLES, *FUNCTIONS, "SELECT public.extend_journal(2)", *FIRST_GENERATION]:
        op.execute(statement)
    _run(_read("schema"))
    _run(_read("indexes"))
    op.execute("SET LOCAL search_path TO public")


def _run(script: str) -> None:
    for statement in script.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("tables that hold data are not dropped; restore a backup instead")
