-- One row per event that concerns a user. A row whose booking is not linked yet waits without a user, and
-- follows the booking when it is linked or linked anew.
WITH slice AS (
    SELECT event_id, type, subject, time, data FROM journal WHERE seq = ANY(CAST(:numbers AS bigint[]))
), left_behind AS (
    -- Whose a row was before, and whom a link named, newest or not: their totals are looked at again too, so that
    -- everybody ever named has a row, whatever order the links came in.
    SELECT a.user_id FROM activity a JOIN booking_fact f USING (booking_id)
    WHERE a.booking_id IN (SELECT subject FROM slice WHERE type = 'user.booking_linked')
      AND a.user_id IS DISTINCT FROM f.user_id
    UNION
    SELECT CAST(data ->> 'user_id' AS uuid) FROM slice WHERE type = 'user.booking_linked'
), relinked AS (
    UPDATE activity a SET user_id = f.user_id
    FROM booking_fact f
    WHERE f.booking_id IN (SELECT subject FROM slice WHERE type = 'user.booking_linked')
      AND a.booking_id = f.booking_id
      AND a.user_id IS DISTINCT FROM f.user_id
    RETURNING a.user_id
), added AS (
    INSERT INTO activity (event_id, user_id, kind, time, booking_id, payment_id, amount, currency)
    SELECT
        s.event_id,
        CASE WHEN s.type IN ('user.registered', 'user.updated') THEN CAST(s.subject AS uuid) ELSE f.user_id END,
        s.type,
        s.time,
        s.data ->> 'booking_id',
        s.data ->> 'payment_id',
        CAST(coalesce(s.data ->> 'final_amount', s.data ->> 'received') AS numeric),
        s.data ->> 'currency'
    FROM slice s LEFT JOIN booking_fact f ON f.booking_id = s.data ->> 'booking_id'
    ON CONFLICT (event_id) DO NOTHING
    RETURNING user_id
)
SELECT user_id FROM left_behind WHERE user_id IS NOT NULL
UNION
SELECT user_id FROM relinked WHERE user_id IS NOT NULL
UNION
SELECT user_id FROM added WHERE user_id IS NOT NULL
