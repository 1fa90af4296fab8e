"""What the admin API shows and searches: one row per user, one per booking, and the words of their names."""

from alembic import op

revision = "0002"
down_revision = "0001"

# What a list of users can be sorted by, never null. Every index is of the key and the id alone, so a page far down is
# found without touching a row.
SORTED = [
    "email_key",
    "name_key",
    "first_key",
    "last_key",
    "phone_key",
    "company_key",
    "total_bookings",
    "total_spent",
    "total_paid",
    "total_refunded",
    "first_booking_key",
    "last_booking_key",
    "last_activity_key",
    "created_at",
]
KEYS = ", ".join(SORTED)

CUSTOMER = [
    # Each kind of event brings its own columns and its own sequence; a column nobody told of yet has its default.
    # erased_digest: what is kept of an erased person's address, to know late news of them by.
    # …_key: what is sorted by, text folded; the smallest there is where there is nothing. canonical_id: whom a merged
    # user counts as, at the end of the chain.
    """
    CREATE TABLE customer (
        user_id             uuid PRIMARY KEY,
        user_sequence       bigint NOT NULL DEFAULT 0,
        email               text COLLATE "C",
        first_name          text,
        last_name           text,
        phone               text,
        company_name        text,
        placeholder         boolean NOT NULL DEFAULT false,
        created_at          timestamptz,
        email_key           text COLLATE "C" NOT NULL GENERATED ALWAYS AS (coalesce(email, '')) STORED,
        name_key            text COLLATE "C" NOT NULL DEFAULT '',
        first_key           text COLLATE "C" NOT NULL DEFAULT '',
        last_key            text COLLATE "C" NOT NULL DEFAULT '',
        phone_key           text COLLATE "C" NOT NULL DEFAULT '',
        company_key         text COLLATE "C" NOT NULL DEFAULT '',
        search              tsvector,
        totals_sequence     bigint NOT NULL DEFAULT 0,
        total_bookings      bigint NOT NULL DEFAULT 0,
        total_spent         numeric NOT NULL DEFAULT 0,
        total_paid          numeric NOT NULL DEFAULT 0,
        total_refunded      numeric NOT NULL DEFAULT 0,
        currencies          json NOT NULL DEFAULT '[]',
        first_booking_date  timestamptz,
        last_booking_date   timestamptz,
        last_activity_date  timestamptz,
        first_booking_key   timestamptz NOT NULL
                                GENERATED ALWAYS AS (coalesce(first_booking_date, '-infinity')) STORED,
        last_booking_key    timestamptz NOT NULL
                                GENERATED ALWAYS AS (coalesce(last_booking_date, '-infinity')) STORED,
        last_activity_key   timestamptz NOT NULL
                                GENERATED ALWAYS AS (coalesce(last_activity_date, '-infinity')) STORED,
        merge_sequence      bigint NOT NULL DEFAULT 0,
        merged_into         uuid,
        canonical_id        uuid,
        erased_at           timestamptz,
        erased_digest       bytea,
        listed              boolean NOT NULL GENERATED ALWAYS AS (
                                user_sequence > 0 AND canonical_id IS NULL AND erased_at IS NULL) STORED
    ) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02)
    """,
    *(f"CREATE INDEX customer_by_{column} ON customer ({column}, user_id) WHERE listed" for column in SORTED),
    # For the pages and totals of any combination of filters.
    """
    CREATE INDEX customer_filters ON customer
        (placeholder, total_bookings, created_at, last_activity_key, total_spent, user_id) WHERE listed
    """,
    "CREATE INDEX customer_canonical_id ON customer (canonical_id) WHERE canonical_id IS NOT NULL",
    "CREATE INDEX customer_merged_into ON customer (merged_into) WHERE merged_into IS NOT NULL",
    "CREATE INDEX customer_erased ON customer (user_id) WHERE erased_at IS NOT NULL",
    "CREATE INDEX customer_erased_digest ON customer (erased_digest) WHERE erased_digest IS NOT NULL",
    # Without a list of pending entries, which every search would have to go through.
    "CREATE INDEX customer_search ON customer USING gin (search) WITH (fastupdate = off)",
]

# The row of an erased user, and those of its bookings, hold nothing of the person, whatever statement writes to them
# and in whatever order. The words they were found by may be somebody else's too: the erasing worker looks.
ERASED = [
    'CREATE TABLE search_word_unsure (word text COLLATE "C" NOT NULL)',
    """
    CREATE FUNCTION gateway.forget_customer() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'UPDATE' AND OLD.search IS NOT NULL THEN
            INSERT INTO gateway.search_word_unsure SELECT unnest(tsvector_to_array(OLD.search));
        END IF;
        NEW.erased_digest := coalesce(NEW.erased_digest, sha256(convert_to(NEW.email, 'UTF8')));
        NEW.email := NULL; NEW.first_name := NULL; NEW.last_name := NULL; NEW.phone := NULL; NEW.company_name := NULL;
        NEW.name_key := ''; NEW.first_key := ''; NEW.last_key := ''; NEW.phone_key := ''; NEW.company_key := '';
        NEW.search := NULL;
        RETURN NEW;
    END $$
    """,
    """
    CREATE FUNCTION gateway.forget_booking() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'UPDATE' AND OLD.search IS NOT NULL THEN
            INSERT INTO gateway.search_word_unsure SELECT unnest(tsvector_to_array(OLD.search));
        END IF;
        NEW.first_name := NULL; NEW.last_name := NULL; NEW.email := NULL; NEW.phone := NULL; NEW.company := NULL;
        NEW.search := array_to_tsvector(ARRAY(
            SELECT unnest(tsvector_to_array(NEW.search)) INTERSECT
            SELECT lower(regexp_replace(NEW.booking_reference, '[^[:alnum:]]', '', 'g'))));
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER forget_customer BEFORE INSERT OR UPDATE ON customer
    FOR EACH ROW WHEN (NEW.erased_at IS NOT NULL) EXECUTE FUNCTION gateway.forget_customer()
    """,
    """
    CREATE TRIGGER forget_booking BEFORE INSERT OR UPDATE ON booking_summary
    FOR EACH ROW WHEN (NEW.forgotten) EXECUTE FUNCTION gateway.forget_booking()
    """,
]

# How many users are listed, without counting them: every statement adds what it changed. Rows are only added, so
# nobody waits for anybody; the tidying worker puts them together. The sum is exact in every snapshot. Likewise where a
# page in the middle begins (anchors.py). Anchors and what moved are lost together in a crash, and counted again.
COUNTED = [
    """
    CREATE UNLOGGED TABLE customer_anchor (
        sort     text NOT NULL,
        before   bigint NOT NULL,
        user_id  uuid NOT NULL,
        version  bigint NOT NULL
    )
    """,
    "CREATE INDEX customer_anchor_place ON customer_anchor (sort, before)",
    f"CREATE UNLOGGED TABLE customer_moved AS SELECT 1 AS change, user_id, {KEYS} FROM customer WITH NO DATA",  # noqa: S608
    """
    CREATE TABLE customer_count (
        placeholder   boolean NOT NULL,
        has_bookings  boolean NOT NULL,
        users         bigint NOT NULL
    )
    """,
    f"""
    CREATE FUNCTION gateway.count_customers() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO gateway.customer_moved SELECT 1, user_id, {KEYS} FROM new_rows WHERE listed;
        IF TG_OP = 'INSERT' THEN
            INSERT INTO gateway.customer_count (placeholder, has_bookings, users)
            SELECT placeholder, total_bookings > 0, count(*) FROM new_rows WHERE listed GROUP BY 1, 2;
        ELSE
            INSERT INTO gateway.customer_moved SELECT -1, user_id, {KEYS} FROM old_rows WHERE listed;
            INSERT INTO gateway.customer_count (placeholder, has_bookings, users)
            SELECT placeholder, has_bookings, sum(change) FROM (
                SELECT placeholder, total_bookings > 0 AS has_bookings, 1 AS change FROM new_rows WHERE listed
                UNION ALL
                SELECT placeholder, total_bookings > 0, -1 FROM old_rows WHERE listed
            ) changes GROUP BY 1, 2 HAVING sum(change) <> 0;
        END IF;
        RETURN NULL;
    END $$
    """,  # noqa: S608 - constants
    """
    CREATE TRIGGER count_new AFTER INSERT ON customer REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.count_customers()
    """,
    """
    CREATE TRIGGER count_changed AFTER UPDATE ON customer REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.count_customers()
    """,
]

BOOKINGS = [
    # What booking.* events say: no column of it can hold more than the contract carries. A deleted booking keeps its
    # sequence and nothing else; a forgotten one is of an erased user.
    """
    CREATE TABLE booking_summary (
        booking_id         text PRIMARY KEY,
        sequence           bigint NOT NULL,
        deleted            boolean NOT NULL,
        booking_reference  text,
        status             text,
        first_name         text,
        last_name          text,
        email              text,
        phone              text,
        company            text,
        final_amount       numeric,
        currency           text NOT NULL,
        payment_date       timestamptz,
        payment_method     text,
        payment_reference  text,
        created_at         timestamptz,
        updated_at         timestamptz,
        search             tsvector,
        forgotten          boolean NOT NULL DEFAULT false
    )
    """,
    "CREATE INDEX booking_summary_search ON booking_summary USING gin (search) WITH (fastupdate = off)",
    "CREATE INDEX booking_payment_created_at ON booking_payment (created_at, payment_id)",
    "CREATE INDEX booking_payment_intent ON booking_payment (stripe_payment_intent_id)",
    "CREATE INDEX booking_payment_charge ON booking_payment (stripe_charge_id)",
    # Which bookings of erased users still hold personal data: the erasing worker's queue.
    "ALTER TABLE booking_user ADD COLUMN forgotten boolean NOT NULL DEFAULT false",
    "CREATE INDEX booking_user_remembered ON booking_user (user_id) WHERE NOT forgotten",
    # Whose a booking was before: its history tells of them too. Few bookings ever change hands.
    """
    CREATE TABLE booking_user_before (
        booking_id  text NOT NULL,
        user_id     uuid NOT NULL,
        forgotten   boolean NOT NULL DEFAULT false,
        PRIMARY KEY (user_id, booking_id)
    )
    """,
    """
    CREATE FUNCTION gateway.keep_user_before() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO gateway.booking_user_before (booking_id, user_id) VALUES (OLD.booking_id, OLD.user_id)
        ON CONFLICT (user_id, booking_id) DO UPDATE SET forgotten = false;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER keep_user_before AFTER UPDATE OF user_id ON booking_user
    FOR EACH ROW WHEN (OLD.user_id IS NOT NULL AND OLD.user_id IS DISTINCT FROM NEW.user_id)
    EXECUTE FUNCTION gateway.keep_user_before()
    """,
]

# Likewise how many payments there are, whose rows are never deleted.
PAYMENTS_COUNTED = [
    "CREATE TABLE payment_count (payments bigint NOT NULL)",
    """
    CREATE FUNCTION gateway.count_payments() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO gateway.payment_count SELECT count(*) FROM new_rows HAVING count(*) > 0;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER count_new AFTER INSERT ON booking_payment REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION gateway.count_payments()
    """,
]

WORDS = [
    "CREATE EXTENSION IF NOT EXISTS pg_trgm",
    # Every word of a name or company, once: what a mistyped word is compared with.
    'CREATE TABLE search_word (word text COLLATE "C" PRIMARY KEY)',
    "CREATE INDEX search_word_similar ON search_word USING gin (word gin_trgm_ops) WITH (fastupdate = off)",
]

HEARD = [
    # When an event of each service was last taken in: the age of what the lists show.
    "CREATE TABLE heard (source text PRIMARY KEY, heard_at timestamptz)",
    "INSERT INTO heard (source) VALUES ('/users'), ('/payments'), ('/stats')",
]


def upgrade() -> None:
    for statement in [*CUSTOMER, *COUNTED, *BOOKINGS, *PAYMENTS_COUNTED, *ERASED, *WORDS, *HEARD]:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("tables that hold data are not dropped; restore a backup instead")
