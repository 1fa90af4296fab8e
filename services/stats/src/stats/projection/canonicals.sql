-- For everybody connected with the users whose merges changed: follow "merged into" to the end. Events come in any
-- order, so for a while the chain may be a circle: then its smallest member stands for it.
WITH RECURSIVE connected AS (
    SELECT user_id, merged_into, canonical FROM merge_fact
    WHERE canonical IN (SELECT canonical FROM merge_fact WHERE user_id = ANY(CAST(:users AS uuid[])))
       OR user_id = ANY(CAST(:users AS uuid[]))
       OR canonical IN (
           SELECT t.canonical FROM merge_fact m JOIN merge_fact t ON t.user_id = m.merged_into
           WHERE m.user_id = ANY(CAST(:users AS uuid[])))
), step AS (
    SELECT user_id AS start, merged_into AS reached FROM connected WHERE merged_into IS NOT NULL
    UNION
    SELECT s.start, c.merged_into FROM step s JOIN connected c ON c.user_id = s.reached WHERE c.merged_into IS NOT NULL
), ending AS (
    SELECT s.start, coalesce(
        (array_agg(s.reached) FILTER (WHERE c.merged_into IS NULL))[1],
        (array_agg(s.reached ORDER BY s.reached) FILTER (WHERE EXISTS (
            SELECT FROM step circle WHERE circle.start = s.reached AND circle.reached = s.reached)))[1]
    ) AS canonical
    FROM step s JOIN connected c ON c.user_id = s.reached
    GROUP BY s.start
), placed AS (
    UPDATE merge_fact m SET canonical = coalesce(e.canonical, c.user_id)
    FROM connected c LEFT JOIN ending e ON e.start = c.user_id
    WHERE m.user_id = c.user_id AND m.canonical <> coalesce(e.canonical, c.user_id)
    RETURNING m.user_id, m.canonical
)
SELECT user_id FROM placed UNION SELECT canonical FROM placed UNION SELECT canonical FROM connected
