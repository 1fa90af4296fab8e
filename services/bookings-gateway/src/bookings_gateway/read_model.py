"""The read model's statements: what events say, one row per aggregate, the highest sequence wins.

Each statement takes one row per key (the newest of the group, see ``handlers``) in key order, so two replicas with
overlapping groups wait for each other instead of deadlocking. An older snapshot changes nothing.
"""

from sqlalchemy import text

KEEP_USERS = text(
    """
    INSERT INTO user_summary AS t
        (user_id, sequence, email, first_name, last_name, phone, company_name, placeholder, created_at)
    SELECT * FROM unnest(
        CAST(:user_id AS uuid[]), CAST(:sequence AS bigint[]), CAST(:email AS text[]), CAST(:first_name AS text[]),
        CAST(:last_name AS text[]), CAST(:phone AS text[]), CAST(:company_name AS text[]),
        CAST(:placeholder AS boolean[]), CAST(:created_at AS timestamptz[])
    )
    ON CONFLICT (user_id) DO UPDATE SET
        sequence = excluded.sequence, email = excluded.email, first_name = excluded.first_name,
        last_name = excluded.last_name, phone = excluded.phone, company_name = excluded.company_name,
        placeholder = excluded.placeholder, created_at = excluded.created_at
    WHERE excluded.sequence > t.sequence
    """
)
KEEP_TOTALS = text(
    """
    INSERT INTO user_totals AS t
        (user_id, sequence, total_bookings, total_spent, total_paid, total_refunded, currencies,
         first_booking_date, last_booking_date, last_activity_date)
    SELECT * FROM unnest(
        CAST(:user_id AS uuid[]), CAST(:sequence AS bigint[]), CAST(:total_bookings AS bigint[]),
        CAST(:total_spent AS numeric[]), CAST(:total_paid AS numeric[]), CAST(:total_refunded AS numeric[]),
        CAST(:currencies AS json[]), CAST(:first_booking_date AS timestamptz[]),
        CAST(:last_booking_date AS timestamptz[]), CAST(:last_activity_date AS timestamptz[])
    )
    ON CONFLICT (user_id) DO UPDATE SET
        sequence = excluded.sequence, total_bookings = excluded.total_bookings, total_spent = excluded.total_spent,
        total_paid = excluded.total_paid, total_refunded = excluded.total_refunded, currencies = excluded.currencies,
        first_booking_date = excluded.first_booking_date, last_booking_date = excluded.last_booking_date,
        last_activity_date = excluded.last_activity_date
    WHERE excluded.sequence > t.sequence
    """
)
# The same user again needs no second write to the legacy row.
KEEP_LINKS = text(
    """
    INSERT INTO booking_user AS t (booking_id, sequence, user_id)
    SELECT * FROM unnest(CAST(:booking_id AS text[]), CAST(:sequence AS bigint[]), CAST(:user_id AS uuid[]))
    ON CONFLICT (booking_id) DO UPDATE SET
        sequence = excluded.sequence, user_id = excluded.user_id,
        written = t.written AND excluded.user_id IS NOT DISTINCT FROM t.user_id
    WHERE excluded.sequence > t.sequence
    """
)
# What was written into the booking is not written again when the payment is refunded; a payment that found its
# booking, or another one, is.
KEEP_PAYMENTS = text(
    """
    INSERT INTO booking_payment AS t
        (payment_id, sequence, booking_id, status, currency, received, refunded, disputed, open_disputes, method,
         reference, paid_at, migrated)
    SELECT * FROM unnest(
        CAST(:payment_id AS text[]), CAST(:sequence AS bigint[]), CAST(:booking_id AS text[]), CAST(:status AS text[]),
        CAST(:currency AS text[]), CAST(:received AS bigint[]), CAST(:refunded AS bigint[]),
        CAST(:disputed AS bigint[]), CAST(:open_disputes AS integer[]), CAST(:method AS text[]),
        CAST(:reference AS text[]), CAST(:paid_at AS timestamptz[]), CAST(:migrated AS boolean[])
    )
    ON CONFLICT (payment_id) DO UPDATE SET
        sequence = excluded.sequence, booking_id = excluded.booking_id, status = excluded.status,
        currency = excluded.currency, received = excluded.received, refunded = excluded.refunded,
        disputed = excluded.disputed, open_disputes = excluded.open_disputes,
        method = excluded.method, reference = excluded.reference, paid_at = excluded.paid_at,
        migrated = excluded.migrated,
        written = t.written AND excluded.status = t.status AND excluded.booking_id IS NOT DISTINCT FROM t.booking_id,
        flag = CASE WHEN excluded.booking_id IS NOT DISTINCT FROM t.booking_id THEN t.flag END
    WHERE excluded.sequence > t.sequence
    """
)
