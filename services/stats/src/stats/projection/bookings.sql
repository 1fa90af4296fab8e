-- Bookings and links of the slice become facts, and what they add to their users' totals is moved by the
-- difference. A fact holds two parts, each guarded by its own sequence: the booking, and the link to its user.
-- `before` reads the facts as they were when the statement began; the apply lock keeps others out.
WITH slice AS (
    SELECT type, subject, sequence, time, data FROM journal WHERE seq = ANY(CAST(:numbers AS bigint[]))
), booking AS (
    SELECT DISTINCT ON (subject)
        subject AS booking_id,
        sequence,
        type <> 'booking.deleted' AS present,
        CAST(data ->> 'final_amount' AS numeric) AS amount,
        data ->> 'currency' AS currency,
        coalesce(CAST(data ->> 'created_at' AS timestamptz), time) AS created_at
    FROM slice WHERE type LIKE 'booking.%'
    ORDER BY subject, sequence DESC
), link AS (
    SELECT DISTINCT ON (subject) subject AS booking_id, sequence, CAST(data ->> 'user_id' AS uuid) AS user_id
    FROM slice WHERE type = 'user.booking_linked'
    ORDER BY subject, sequence DESC
), before AS (
    SELECT f.* FROM booking_fact f
    WHERE f.booking_id IN (SELECT booking_id FROM booking UNION SELECT booking_id FROM link)
), after AS (
    INSERT INTO booking_fact AS f
        (booking_id, sequence, present, amount, currency, created_at, link_sequence, user_id)
    SELECT booking_id, coalesce(b.sequence, 0), coalesce(b.present, false), b.amount, b.currency, b.created_at,
           coalesce(l.sequence, 0), l.user_id
    FROM booking b FULL JOIN link l USING (booking_id)
    ON CONFLICT (booking_id) DO UPDATE SET
        sequence   = greatest(f.sequence, excluded.sequence),
        present    = CASE WHEN excluded.sequence > f.sequence THEN excluded.present    ELSE f.present    END,
        amount     = CASE WHEN excluded.sequence > f.sequence THEN excluded.amount     ELSE f.amount     END,
        currency   = CASE WHEN excluded.sequence > f.sequence THEN excluded.currency   ELSE f.currency   END,
        created_at = CASE WHEN excluded.sequence > f.sequence THEN excluded.created_at ELSE f.created_at END,
        link_sequence = greatest(f.link_sequence, excluded.link_sequence),
        user_id = CASE WHEN excluded.link_sequence > f.link_sequence THEN excluded.user_id ELSE f.user_id END
    RETURNING *
), difference AS (
    SELECT user_id, currency, sum(bookings) AS bookings, sum(spent) AS spent
    FROM (
        SELECT user_id, currency, 1 AS bookings, coalesce(amount, 0) AS spent FROM after
        WHERE present AND user_id IS NOT NULL
        UNION ALL
        SELECT user_id, currency, -1, -coalesce(amount, 0) FROM before
        WHERE present AND user_id IS NOT NULL
    ) AS contribution
    GROUP BY user_id, currency
)
INSERT INTO currency_totals AS t (user_id, currency, bookings, spent)
SELECT user_id, currency, bookings, spent FROM difference
ON CONFLICT (user_id, currency) DO UPDATE SET
    bookings = t.bookings + excluded.bookings,
    spent = t.spent + excluded.spent
RETURNING user_id
