-- Payments of the slice become facts; so do those whose booking was linked in the slice, because the money
-- follows the booking to its user. Runs after bookings.sql, whose facts say whose a booking is.
WITH slice AS (
    SELECT type, subject, sequence, data FROM journal WHERE seq = ANY(CAST(:numbers AS bigint[]))
), incoming AS (
    SELECT DISTINCT ON (subject)
        subject AS payment_id,
        sequence,
        data ->> 'booking_id' AS booking_id,
        data ->> 'currency' AS currency,
        CAST(data ->> 'received' AS numeric) AS received,
        CAST(data ->> 'refunded' AS numeric) AS refunded
    FROM slice WHERE type LIKE 'payment.%'
    ORDER BY subject, sequence DESC
), before AS (
    SELECT p.* FROM payment_fact p WHERE p.payment_id IN (SELECT payment_id FROM incoming)
    UNION
    SELECT p.* FROM payment_fact p WHERE p.booking_id IN (SELECT subject FROM slice WHERE type = 'user.booking_linked')
), newest AS (
    SELECT DISTINCT ON (payment_id) payment_id, sequence, booking_id, currency, received, refunded
    FROM (
        SELECT payment_id, sequence, booking_id, currency, received, refunded FROM incoming
        UNION ALL
        SELECT payment_id, sequence, booking_id, currency, received, refunded FROM before
    ) AS version
    ORDER BY payment_id, sequence DESC
), after AS (
    INSERT INTO payment_fact AS p (payment_id, sequence, booking_id, currency, received, refunded, user_id)
    SELECT n.payment_id, n.sequence, n.booking_id, n.currency, n.received, n.refunded, f.user_id
    FROM newest n LEFT JOIN booking_fact f USING (booking_id)
    ON CONFLICT (payment_id) DO UPDATE SET
        sequence = excluded.sequence,
        booking_id = excluded.booking_id,
        currency = excluded.currency,
        received = excluded.received,
        refunded = excluded.refunded,
        user_id = excluded.user_id
    RETURNING *
), difference AS (
    SELECT user_id, currency, sum(paid) AS paid, sum(refunded) AS refunded
    FROM (
        SELECT user_id, currency, received AS paid, refunded FROM after WHERE user_id IS NOT NULL
        UNION ALL
        SELECT user_id, currency, -received, -refunded FROM before WHERE user_id IS NOT NULL
    ) AS contribution
    GROUP BY user_id, currency
)
INSERT INTO currency_totals AS t (user_id, currency, paid, refunded)
SELECT user_id, currency, paid, refunded FROM difference
ON CONFLICT (user_id, currency) DO UPDATE SET
    paid = t.paid + excluded.paid,
    refunded = t.refunded + excluded.refunded
RETURNING user_id
