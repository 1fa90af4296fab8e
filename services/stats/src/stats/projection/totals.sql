-- The totals of the touched users, zero included. Sums are kept by difference; dates come from the ends of an
-- index, so a user with a hundred thousand bookings costs as little as any other.
-- Only a row that changed is written and returned: nothing is announced that says nothing new.
INSERT INTO user_totals AS t
    (user_id, sequence, total_bookings, currencies, first_booking_date, last_booking_date, last_activity_date)
SELECT u.user_id, 1, coalesce(c.bookings, 0), coalesce(c.currencies, '[]'), first.created_at, last.created_at, latest.time
FROM unnest(CAST(:users AS uuid[])) AS u (user_id)
LEFT JOIN LATERAL (
    SELECT sum(bookings) AS bookings,
           jsonb_agg(jsonb_build_object(
               'currency', currency,
               'total_spent', amount_text(spent, currency),
               'total_paid', minor_text(paid, currency),
               'total_refunded', minor_text(refunded, currency)
           ) ORDER BY currency) AS currencies
    FROM currency_totals
    WHERE user_id = u.user_id AND (bookings, spent, paid, refunded) <> (0, 0, 0, 0)
) AS c ON true
LEFT JOIN LATERAL (
    SELECT created_at FROM booking_fact WHERE user_id = u.user_id AND present ORDER BY created_at LIMIT 1
) AS first ON true
LEFT JOIN LATERAL (
    SELECT created_at FROM booking_fact WHERE user_id = u.user_id AND present ORDER BY created_at DESC LIMIT 1
) AS last ON true
LEFT JOIN LATERAL (
    SELECT time FROM activity WHERE user_id = u.user_id ORDER BY time DESC LIMIT 1
) AS latest ON true
ON CONFLICT (user_id) DO UPDATE SET
    sequence = t.sequence + 1,
    total_bookings = excluded.total_bookings,
    currencies = excluded.currencies,
    first_booking_date = excluded.first_booking_date,
    last_booking_date = excluded.last_booking_date,
    last_activity_date = excluded.last_activity_date
WHERE (t.total_bookings, t.currencies, t.first_booking_date, t.last_booking_date, t.last_activity_date)
    IS DISTINCT FROM (excluded.total_bookings, excluded.currencies, excluded.first_booking_date,
                      excluded.last_booking_date, excluded.last_activity_date)
RETURNING user_id, sequence, total_bookings, currencies, first_booking_date, last_booking_date, last_activity_date
