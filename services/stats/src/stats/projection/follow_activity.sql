-- Activity follows its booking: lines of bookings linked in the slice go to the user the booking now has. Whoever a link
-- names is reported, newest link or not: so the same users are looked at whatever order the links came in.
WITH linked AS MATERIALIZED (
    SELECT DISTINCT subject AS booking_id, user_id FROM journal
    WHERE (xid, seq) > (CAST(CAST(:after_xid AS text) AS xid8), CAST(:after_seq AS bigint))
      AND (xid, seq) <= (CAST(CAST(:to_xid AS text) AS xid8), CAST(:to_seq AS bigint))
      AND fault IS NULL AND type = 'user.booking_linked'
), misplaced AS MATERIALIZED (
    SELECT DISTINCT a.ctid AS place, a.user_id AS old_user_id, f.user_id AS new_user_id
    FROM linked l JOIN booking_fact f USING (booking_id) JOIN activity a USING (booking_id)
    WHERE a.user_id IS DISTINCT FROM f.user_id
), placed AS (
    UPDATE activity a SET user_id = m.new_user_id FROM misplaced m WHERE a.ctid = m.place
)
SELECT DISTINCT user_id
FROM (
    SELECT new_user_id AS user_id FROM misplaced
    UNION ALL SELECT old_user_id FROM misplaced
    UNION ALL SELECT user_id FROM linked
) AS touched
WHERE :report AND user_id IS NOT NULL
