-- Payments of the slice become facts. Runs after bookings.sql, whose facts say whose a booking is. Rows are updated by
-- their place for the same reason as there.
WITH incoming AS (
    SELECT DISTINCT ON (subject)
        subject AS payment_id, sequence, booking_id, currency, received, refunded, disputed
    FROM journal
    WHERE (xid, seq) > (CAST(CAST(:after_xid AS text) AS xid8), CAST(:after_seq AS bigint))
      AND (xid, seq) <= (CAST(CAST(:to_xid AS text) AS xid8), CAST(:to_seq AS bigint))
      AND fault IS NULL
      AND type IN ('payment.pending', 'payment.succeeded', 'payment.failed', 'payment.canceled',
                   'payment.refunded', 'payment.disputed')
    ORDER BY subject, sequence DESC, xid, seq
), merged AS MATERIALIZED (
    SELECT i.*, f.user_id, p.ctid AS place, p.user_id AS old_user_id, p.currency AS old_currency,
           p.received AS old_received, p.refunded AS old_refunded, p.disputed AS old_disputed
    FROM incoming i LEFT JOIN payment_fact p USING (payment_id) LEFT JOIN booking_fact f ON f.booking_id = i.booking_id
    WHERE p.payment_id IS NULL OR i.sequence > p.sequence
), inserted AS (
    INSERT INTO payment_fact (payment_id, sequence, booking_id, currency, received, refunded, disputed, user_id)
    SELECT payment_id, sequence, booking_id, currency, received, refunded, disputed, user_id
    FROM merged WHERE place IS NULL
), updated AS (
    UPDATE payment_fact p
    SET sequence = m.sequence, booking_id = m.booking_id, currency = m.currency, received = m.received,
        refunded = m.refunded, disputed = m.disputed, user_id = m.user_id
    FROM merged m WHERE m.place IS NOT NULL AND p.ctid = m.place
), difference AS MATERIALIZED (
    SELECT user_id, currency, sum(received) AS paid, sum(refunded) AS refunded, sum(disputed) AS disputed
    FROM (
        SELECT user_id, currency, received, refunded, disputed FROM merged WHERE user_id IS NOT NULL
        UNION ALL
        SELECT old_user_id, old_currency, -old_received, -old_refunded, -old_disputed FROM merged
        WHERE old_user_id IS NOT NULL
    ) AS contribution
    GROUP BY user_id, currency
), current AS MATERIALIZED (
    SELECT d.*, t.ctid AS place FROM difference d LEFT JOIN currency_totals t USING (user_id, currency)
), opened AS (
    INSERT INTO currency_totals (user_id, currency, paid, refunded, disputed)
    SELECT user_id, currency, paid, refunded, disputed FROM current WHERE place IS NULL
), moved AS (
    UPDATE currency_totals t
    SET paid = t.paid + c.paid, refunded = t.refunded + c.refunded, disputed = t.disputed + c.disputed
    FROM current c WHERE c.place IS NOT NULL AND t.ctid = c.place
)
SELECT user_id FROM difference WHERE :report
