"""The read model's statements: what events say, one row per aggregate, the highest sequence wins.

Each statement takes one row per key (the newest of the group, see ``handlers``) in key order, so two replicas with
overlapping groups wait for each other instead of deadlocking. An older snapshot changes nothing.
"""

from sqlalchemy import text

# Words of a name go to search_word only where the row was taken: an older version, or one of somebody who was erased,
# brings no word back. ORDER BY, so that two groups with words in common wait instead of deadlocking.
KEEP_USERS = text(
    """
    WITH kept AS (
        INSERT INTO customer AS t
            (user_id, user_sequence, email, first_name, last_name, phone, company_name, placeholder, created_at,
             name_key, first_key, last_key, phone_key, company_key, search)
        SELECT user_id, sequence, email, first_name, last_name, phone, company_name, placeholder, created_at,
               name_key, first_key, last_key, phone_key, company_key, array_to_tsvector(string_to_array(words, ' '))
        FROM unnest(
            CAST(:user_id AS uuid[]), CAST(:sequence AS bigint[]), CAST(:email AS text[]),
            CAST(:first_name AS text[]), CAST(:last_name AS text[]), CAST(:phone AS text[]),
            CAST(:company_name AS text[]), CAST(:placeholder AS boolean[]), CAST(:created_at AS timestamptz[]),
            CAST(:name_key AS text[]), CAST(:first_key AS text[]), CAST(:last_key AS text[]),
            CAST(:phone_key AS text[]), CAST(:company_key AS text[]), CAST(:words AS text[])
        ) AS n (user_id, sequence, email, first_name, last_name, phone, company_name, placeholder, created_at,
                name_key, first_key, last_key, phone_key, company_key, words)
        ON CONFLICT (user_id) DO UPDATE SET
            user_sequence = excluded.user_sequence, email = excluded.email, first_name = excluded.first_name,
            last_name = excluded.last_name, phone = excluded.phone, company_name = excluded.company_name,
            placeholder = excluded.placeholder, created_at = excluded.created_at, name_key = excluded.name_key,
            first_key = excluded.first_key, last_key = excluded.last_key, phone_key = excluded.phone_key,
            company_key = excluded.company_key, search = excluded.search
        WHERE excluded.user_sequence > t.user_sequence
        RETURNING user_id, erased_at
    )
    INSERT INTO search_word (word)
    SELECT DISTINCT word
    FROM unnest(CAST(:user_id AS uuid[]), CAST(:name_words AS text[])) AS n (user_id, name_words)
    JOIN kept USING (user_id) CROSS JOIN LATERAL unnest(string_to_array(name_words, ' ')) AS word
    WHERE kept.erased_at IS NULL ORDER BY word
    ON CONFLICT DO NOTHING
    """
)
KEEP_TOTALS = text(
    """
    INSERT INTO customer AS t
        (user_id, totals_sequence, total_bookings, total_spent, total_paid, total_refunded, currencies,
         first_booking_date, last_booking_date, last_activity_date)
    SELECT * FROM unnest(
        CAST(:user_id AS uuid[]), CAST(:sequence AS bigint[]), CAST(:total_bookings AS bigint[]),
        CAST(:total_spent AS numeric[]), CAST(:total_paid AS numeric[]), CAST(:total_refunded AS numeric[]),
        CAST(:currencies AS json[]), CAST(:first_booking_date AS timestamptz[]),
        CAST(:last_booking_date AS timestamptz[]), CAST(:last_activity_date AS timestamptz[])
    )
    ON CONFLICT (user_id) DO UPDATE SET
        totals_sequence = excluded.totals_sequence, total_bookings = excluded.total_bookings,
        total_spent = excluded.total_spent, total_paid = excluded.total_paid,
        total_refunded = excluded.total_refunded, currencies = excluded.currencies,
        first_booking_date = excluded.first_booking_date, last_booking_date = excluded.last_booking_date,
        last_activity_date = excluded.last_activity_date
    WHERE excluded.totals_sequence > t.totals_sequence
    """
)
# Two groups that change two links of one chain must see each other's: whoever merges waits for this first.
MERGE_ALONE = text("SELECT pg_advisory_xact_lock(7301955102)")
KEEP_MERGES = text(
    """
    INSERT INTO customer AS t (user_id, merge_sequence, merged_into)
    SELECT * FROM unnest(CAST(:user_id AS uuid[]), CAST(:sequence AS bigint[]), CAST(:merged_into AS uuid[]))
    ON CONFLICT (user_id) DO UPDATE SET
        merge_sequence = excluded.merge_sequence, merged_into = excluded.merged_into
    WHERE excluded.merge_sequence > t.merge_sequence
    """
)
# Follow the chain anew for everybody whose chain may pass one of the users. An order of events can make a circle for
# a while; nobody is followed twice.
RESOLVE_MERGES = text(
    """
    WITH RECURSIVE affected AS (
        SELECT unnest(CAST(:user_id AS uuid[])) AS user_id
        UNION
        SELECT c.user_id FROM customer c JOIN affected a ON c.merged_into = a.user_id
    ), chain AS (
        SELECT user_id AS origin, user_id AS at, ARRAY[user_id] AS seen FROM affected
        UNION ALL
        SELECT h.origin, c.merged_into, h.seen || c.merged_into
        FROM chain h JOIN customer c ON c.user_id = h.at
        WHERE c.merged_into IS NOT NULL AND c.merged_into <> ALL (h.seen)
    ), resolved AS (
        SELECT DISTINCT ON (origin) origin, nullif(at, origin) AS canonical_id
        FROM chain ORDER BY origin, cardinality(seen) DESC
    )
    UPDATE customer c SET canonical_id = r.canonical_id FROM resolved r
    WHERE c.user_id = r.origin AND c.canonical_id IS DISTINCT FROM r.canonical_id
    """
)
# A trigger empties the row: see migration 0002.
KEEP_ERASURES = text(
    """
    INSERT INTO customer AS t (user_id, erased_at)
    SELECT user_id, erased_at FROM unnest(
        CAST(:user_id AS uuid[]), CAST(:erased_at AS timestamptz[])
    ) AS n (user_id, erased_at)
    ON CONFLICT (user_id) DO UPDATE SET erased_at = least(t.erased_at, excluded.erased_at)
    """
)
# The same user again needs no second write to the legacy row. A link of a booking that is taken back is let go of anew
# by the write-back.
KEEP_LINKS = text(
    """
    INSERT INTO booking_user AS t (booking_id, sequence, user_id)
    SELECT * FROM unnest(CAST(:booking_id AS text[]), CAST(:sequence AS bigint[]), CAST(:user_id AS uuid[]))
    ON CONFLICT (booking_id) DO UPDATE SET
        sequence = excluded.sequence, user_id = excluded.user_id, let_go_of = NULL,
        written = t.written AND excluded.user_id IS NOT DISTINCT FROM t.user_id,
        forgotten = t.forgotten AND excluded.user_id IS NOT DISTINCT FROM t.user_id
    WHERE excluded.sequence > t.sequence
    """
)
KEEP_BOOKINGS = text(
    """
    WITH kept AS (
        INSERT INTO booking_summary AS t
            (booking_id, sequence, deleted, booking_reference, status, first_name, last_name, email, phone, company,
             final_amount, currency, payment_date, payment_method, payment_reference, created_at, updated_at, search)
        SELECT booking_id, sequence, deleted, booking_reference, status, first_name, last_name, email, phone, company,
               final_amount, currency, payment_date, payment_method, payment_reference, created_at, updated_at,
               array_to_tsvector(string_to_array(words, ' '))
        FROM unnest(
            CAST(:booking_id AS text[]), CAST(:sequence AS bigint[]), CAST(:deleted AS boolean[]),
            CAST(:booking_reference AS text[]), CAST(:status AS text[]), CAST(:first_name AS text[]),
            CAST(:last_name AS text[]), CAST(:email AS text[]), CAST(:phone AS text[]), CAST(:company AS text[]),
            CAST(:final_amount AS numeric[]), CAST(:currency AS text[]), CAST(:payment_date AS timestamptz[]),
            CAST(:payment_method AS text[]), CAST(:payment_reference AS text[]), CAST(:created_at AS timestamptz[]),
            CAST(:updated_at AS timestamptz[]), CAST(:words AS text[])
        ) AS n (booking_id, sequence, deleted, booking_reference, status, first_name, last_name, email, phone,
                company, final_amount, currency, payment_date, payment_method, payment_reference, created_at,
                updated_at, words)
        ON CONFLICT (booking_id) DO UPDATE SET
            sequence = excluded.sequence, deleted = excluded.deleted,
            booking_reference = excluded.booking_reference, status = excluded.status,
            first_name = excluded.first_name, last_name = excluded.last_name, email = excluded.email,
            phone = excluded.phone, company = excluded.company, final_amount = excluded.final_amount,
            currency = excluded.currency, payment_date = excluded.payment_date,
            payment_method = excluded.payment_method, payment_reference = excluded.payment_reference,
            created_at = excluded.created_at, updated_at = excluded.updated_at, search = excluded.search
        WHERE excluded.sequence > t.sequence
        RETURNING booking_id, forgotten
    )
    INSERT INTO search_word (word)
    SELECT DISTINCT word
    FROM unnest(CAST(:booking_id AS text[]), CAST(:name_words AS text[])) AS n (booking_id, name_words)
    JOIN kept USING (booking_id) CROSS JOIN LATERAL unnest(string_to_array(name_words, ' ')) AS word
    WHERE NOT kept.forgotten ORDER BY word
    ON CONFLICT DO NOTHING
    """
)
# What was written into the booking is not written again when the payment is refunded; a payment that found its
# booking, or another one, is.
KEEP_PAYMENTS = text(
    """
    INSERT INTO booking_payment AS t
        (payment_id, sequence, booking_id, status, currency, amount, received, refunded, disputed, net, open_disputes,
         method, card_brand, card_last4, stripe_payment_intent_id, stripe_charge_id, reference, paid_at, created_at,
         migrated, inferred_fields)
    SELECT * FROM unnest(
        CAST(:payment_id AS text[]), CAST(:sequence AS bigint[]), CAST(:booking_id AS text[]), CAST(:status AS text[]),
        CAST(:currency AS text[]), CAST(:amount AS bigint[]), CAST(:received AS bigint[]), CAST(:refunded AS bigint[]),
        CAST(:disputed AS bigint[]), CAST(:net AS bigint[]), CAST(:open_disputes AS integer[]),
        CAST(:method AS text[]), CAST(:card_brand AS text[]), CAST(:card_last4 AS text[]),
        CAST(:stripe_payment_intent_id AS text[]), CAST(:stripe_charge_id AS text[]), CAST(:reference AS text[]),
        CAST(:paid_at AS timestamptz[]), CAST(:created_at AS timestamptz[]), CAST(:migrated AS boolean[]),
        CAST(:inferred_fields AS json[])
    )
    ON CONFLICT (payment_id) DO UPDATE SET
        sequence = excluded.sequence, booking_id = excluded.booking_id, status = excluded.status,
        currency = excluded.currency, amount = excluded.amount, received = excluded.received,
        refunded = excluded.refunded, disputed = excluded.disputed, net = excluded.net,
        open_disputes = excluded.open_disputes, method = excluded.method, card_brand = excluded.card_brand,
        card_last4 = excluded.card_last4, stripe_payment_intent_id = excluded.stripe_payment_intent_id,
        stripe_charge_id = excluded.stripe_charge_id, reference = excluded.reference, paid_at = excluded.paid_at,
        created_at = excluded.created_at, migrated = excluded.migrated, inferred_fields = excluded.inferred_fields,
        written = t.written AND excluded.status = t.status AND excluded.booking_id IS NOT DISTINCT FROM t.booking_id,
        flag = CASE WHEN excluded.booking_id IS NOT DISTINCT FROM t.booking_id THEN t.flag END
    WHERE excluded.sequence > t.sequence
    """
)
# Once a second, from all replicas together, is enough to tell an age by. The last statement of its transaction, so
# nobody waits for it long.
HEARD = text(
    """
    UPDATE heard SET heard_at = clock_timestamp()
    WHERE source = ANY(CAST(:sources AS text[]))
        AND coalesce(heard_at, '-infinity') < clock_timestamp() - interval '1 second'
    """
)
