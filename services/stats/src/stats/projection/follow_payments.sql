-- The money follows its booking: payments of bookings linked in the slice go to the user the booking now has.
WITH linked AS MATERIALIZED (
    SELECT DISTINCT subject AS booking_id FROM journal
    WHERE (xid, seq) > (CAST(CAST(:after_xid AS text) AS xid8), CAST(:after_seq AS bigint))
      AND (xid, seq) <= (CAST(CAST(:to_xid AS text) AS xid8), CAST(:to_seq AS bigint))
      AND fault IS NULL
      AND type = 'user.booking_linked'
), misplaced AS MATERIALIZED (
    SELECT p.ctid AS place, p.user_id AS old_user_id, f.user_id AS new_user_id, p.currency, p.received, p.refunded,
           p.disputed
    FROM linked JOIN booking_fact f USING (booking_id) JOIN payment_fact p USING (booking_id)
    WHERE p.user_id IS DISTINCT FROM f.user_id
), placed AS (
    UPDATE payment_fact p SET user_id = m.new_user_id FROM misplaced m WHERE p.ctid = m.place
), difference AS MATERIALIZED (
    SELECT user_id, currency, sum(received) AS paid, sum(refunded) AS refunded, sum(disputed) AS disputed
    FROM (
        SELECT new_user_id AS user_id, currency, received, refunded, disputed FROM misplaced
        UNION ALL
        SELECT old_user_id, currency, -received, -refunded, -disputed FROM misplaced
    ) AS contribution
    WHERE user_id IS NOT NULL
    GROUP BY user_id, currency
), current AS MATERIALIZED (
    SELECT d.*, t.ctid AS place FROM difference d LEFT JOIN currency_totals t USING (user_id, currency)
), opened AS (
    INSERT INTO currency_totals (user_id, currency, paid, refunded, disputed)
    SELECT user_id, currency, paid, refunded, disputed FROM current WHERE place IS NULL
), moved AS (
    UPDATE currency_totals t
    SET paid = t.paid + c.paid, refunded = t.refunded + c.refunded, disputed = t.disputed + c.disputed
    FROM current c WHERE t.ctid = c.place
)
SELECT user_id FROM difference WHERE :report
