-- One line per event of the slice; what else it says is in the journal. A line whose booking is not linked yet waits
-- without a user.
WITH added AS (
    INSERT INTO activity (user_id, time, event_id, kind, booking_id)
    SELECT CASE WHEN j.booking_id IS NULL THEN j.user_id ELSE f.user_id END, j.time, j.event_id, j.type, j.booking_id
    FROM journal j LEFT JOIN booking_fact f ON f.booking_id = j.booking_id
    WHERE (j.xid, j.seq) > (CAST(CAST(:after_xid AS text) AS xid8), CAST(:after_seq AS bigint))
      AND (j.xid, j.seq) <= (CAST(CAST(:to_xid AS text) AS xid8), CAST(:to_seq AS bigint))
      AND j.fault IS NULL
    RETURNING user_id
)
SELECT DISTINCT user_id FROM added WHERE :report AND user_id IS NOT NULL
