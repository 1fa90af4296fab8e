-- Merges and unmerges of the slice become facts; the newest of a user holds. A user merged into is known here too.
-- Whom each counts for is worked out by canonicals.sql, from these facts.
WITH incoming AS MATERIALIZED (
    SELECT DISTINCT ON (subject) user_id, sequence, merged_into
    FROM journal
    WHERE (xid, seq) > (CAST(CAST(:after_xid AS text) AS xid8), CAST(:after_seq AS bigint))
      AND (xid, seq) <= (CAST(CAST(:to_xid AS text) AS xid8), CAST(:to_seq AS bigint))
      AND fault IS NULL AND type IN ('user.merged', 'user.unmerged')
    ORDER BY subject, sequence DESC, xid, seq
), told AS (
    SELECT user_id, sequence, merged_into FROM incoming
    UNION ALL
    SELECT DISTINCT merged_into, CAST(0 AS bigint), CAST(NULL AS uuid) FROM incoming
    WHERE merged_into IS NOT NULL AND merged_into NOT IN (SELECT user_id FROM incoming)
), kept AS (
    INSERT INTO merge_fact AS m (user_id, sequence, merged_into, canonical)
    SELECT user_id, sequence, merged_into, user_id FROM told
    ON CONFLICT (user_id) DO UPDATE SET sequence = excluded.sequence, merged_into = excluded.merged_into
    WHERE excluded.sequence > m.sequence
    RETURNING user_id
)
SELECT user_id FROM told
