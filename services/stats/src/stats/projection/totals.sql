-- The totals of the asked users, and of those they were merged into, as the generation has them: each counts for itself and for everybody merged into it;
-- a merged user has none of its own. Sums were kept by difference and dates come from the ends of an index, so a
-- user with a hundred thousand bookings costs as little as any other.
WITH wanted AS (
    SELECT user_id FROM unnest(CAST(:users AS uuid[])) AS asked (user_id)
    UNION
    SELECT canonical FROM merge_fact WHERE user_id = ANY(CAST(:users AS uuid[]))
), member AS MATERIALIZED (
    SELECT w.user_id AS canonical, w.user_id FROM wanted w LEFT JOIN merge_fact m USING (user_id)
    WHERE m.canonical IS NULL OR m.canonical = w.user_id
    UNION ALL
    SELECT m.canonical, m.user_id FROM wanted w JOIN merge_fact m ON m.canonical = w.user_id
    WHERE m.user_id <> m.canonical
), sums AS (
    SELECT m.canonical, t.currency, sum(t.bookings) AS bookings, sum(t.spent) AS spent, sum(t.paid) AS paid,
           sum(t.refunded) AS refunded, sum(t.disputed) AS disputed
    FROM member m JOIN currency_totals t USING (user_id)
    GROUP BY m.canonical, t.currency
    HAVING (sum(t.bookings), sum(t.spent), sum(t.paid), sum(t.refunded), sum(t.disputed)) <> (0, 0, 0, 0, 0)
), money AS (
    SELECT canonical, sum(bookings) AS bookings,
           jsonb_agg(jsonb_build_object(
               'currency', currency,
               'total_spent', amount_text(spent, currency),
               'total_paid', minor_text(paid, currency),
               'total_refunded', minor_text(refunded, currency),
               'total_disputed', minor_text(disputed, currency),
               'net_paid', minor_text(paid - refunded - disputed, currency)
           ) ORDER BY currency) AS currencies
    FROM sums GROUP BY canonical
), dates AS (
    SELECT m.canonical,
           min((SELECT min(f.created_at) FROM booking_fact f WHERE f.user_id = m.user_id AND f.present)) AS first_booking,
           max((SELECT max(f.created_at) FROM booking_fact f WHERE f.user_id = m.user_id AND f.present)) AS last_booking,
           max((SELECT max(a.time) FROM activity a WHERE a.user_id = m.user_id)) AS last_activity
    FROM member m GROUP BY m.canonical
)
-- Put together by one grouping, without a join: of a few hundred users each would be compared with every other.
SELECT all_of.user_id,
       coalesce((SELECT m.canonical FROM merge_fact m WHERE m.user_id = all_of.user_id), all_of.user_id) AS canonical,
       CAST(coalesce(sum(all_of.bookings), 0) AS bigint) AS total_bookings,
       coalesce((array_agg(all_of.currencies) FILTER (WHERE all_of.currencies IS NOT NULL))[1], '[]') AS currencies,
       min(all_of.first_booking) AS first_booking_date,
       max(all_of.last_booking) AS last_booking_date,
       max(all_of.last_activity) AS last_activity_date
FROM (
    SELECT user_id, NULL AS bookings, CAST(NULL AS jsonb) AS currencies, CAST(NULL AS timestamptz) AS first_booking,
           CAST(NULL AS timestamptz) AS last_booking, CAST(NULL AS timestamptz) AS last_activity FROM wanted
    UNION ALL SELECT canonical, bookings, currencies, NULL, NULL, NULL FROM money
    UNION ALL SELECT canonical, NULL, NULL, first_booking, last_booking, last_activity FROM dates
) AS all_of
GROUP BY all_of.user_id
