-- Bookings and links of the slice become facts, and what they add to their users' totals is moved by the
-- difference. A fact holds two parts, each guarded by its own sequence: the booking, and the link to its user.
-- Of two events of one sequence, which no sound producer sends, the first in the journal holds, in any slice.
-- Every part of the statement reads the tables as they were when it began, and the apply lock keeps others out: so rows
-- found by the join may be updated by their place, and rows not found inserted, without asking again.
WITH booking AS (
    SELECT DISTINCT ON (subject)
        subject AS booking_id, sequence, type <> 'booking.deleted' AS present, amount, currency,
        coalesce(created_at, time) AS created_at
    FROM journal
    WHERE (xid, seq) > (CAST(CAST(:after_xid AS text) AS xid8), CAST(:after_seq AS bigint))
      AND (xid, seq) <= (CAST(CAST(:to_xid AS text) AS xid8), CAST(:to_seq AS bigint))
      AND fault IS NULL
      AND type IN ('booking.created', 'booking.updated', 'booking.deleted')
    ORDER BY subject, sequence DESC, xid, seq
), link AS (
    SELECT DISTINCT ON (subject) subject AS booking_id, sequence AS link_sequence, user_id
    FROM journal
    WHERE (xid, seq) > (CAST(CAST(:after_xid AS text) AS xid8), CAST(:after_seq AS bigint))
      AND (xid, seq) <= (CAST(CAST(:to_xid AS text) AS xid8), CAST(:to_seq AS bigint))
      AND fault IS NULL
      AND type = 'user.booking_linked'
    ORDER BY subject, sequence DESC, xid, seq
), incoming AS (
    SELECT booking_id, coalesce(sequence, 0) AS sequence, coalesce(present, false) AS present, amount, currency,
           created_at, coalesce(link_sequence, 0) AS link_sequence, user_id
    FROM booking FULL JOIN link USING (booking_id)
), merged AS MATERIALIZED (
    SELECT booking_id,
           f.ctid AS place, f.present AS old_present, f.amount AS old_amount, f.currency AS old_currency,
           f.user_id AS old_user_id,
           greatest(f.sequence, i.sequence) AS sequence,
           CASE WHEN f.sequence >= i.sequence THEN f.present    ELSE i.present    END AS present,
           CASE WHEN f.sequence >= i.sequence THEN f.amount     ELSE i.amount     END AS amount,
           CASE WHEN f.sequence >= i.sequence THEN f.currency   ELSE i.currency   END AS currency,
           CASE WHEN f.sequence >= i.sequence THEN f.created_at ELSE i.created_at END AS created_at,
           greatest(f.link_sequence, i.link_sequence) AS link_sequence,
           CASE WHEN f.link_sequence >= i.link_sequence THEN f.user_id ELSE i.user_id END AS user_id
    FROM incoming i LEFT JOIN booking_fact f USING (booking_id)
    WHERE f.booking_id IS NULL OR i.sequence > f.sequence OR i.link_sequence > f.link_sequence
), inserted AS (
    INSERT INTO booking_fact (booking_id, sequence, present, amount, currency, created_at, link_sequence, user_id)
    SELECT booking_id, sequence, present, amount, currency, created_at, link_sequence, user_id
    FROM merged WHERE place IS NULL
), updated AS (
    UPDATE booking_fact f
    SET sequence = m.sequence, present = m.present, amount = m.amount, currency = m.currency,
        created_at = m.created_at, link_sequence = m.link_sequence, user_id = m.user_id
    FROM merged m WHERE m.place IS NOT NULL AND f.ctid = m.place
), difference AS MATERIALIZED (
    SELECT user_id, currency, sum(bookings) AS bookings, sum(spent) AS spent
    FROM (
        SELECT user_id, currency, 1 AS bookings, coalesce(amount, 0) AS spent FROM merged
        WHERE present AND user_id IS NOT NULL
        UNION ALL
        SELECT old_user_id, old_currency, -1, -coalesce(old_amount, 0) FROM merged
        WHERE old_present AND old_user_id IS NOT NULL
    ) AS contribution
    GROUP BY user_id, currency
), current AS MATERIALIZED (
    SELECT d.*, t.ctid AS place FROM difference d LEFT JOIN currency_totals t USING (user_id, currency)
), opened AS (
    INSERT INTO currency_totals (user_id, currency, bookings, spent)
    SELECT user_id, currency, bookings, spent FROM current WHERE place IS NULL
), moved AS (
    UPDATE currency_totals t
    SET bookings = t.bookings + c.bookings, spent = t.spent + c.spent
    FROM current c WHERE c.place IS NOT NULL AND t.ctid = c.place
)
SELECT user_id FROM difference WHERE :report
