"""The legacy API's statements as templates; :class:`bookings_gateway.listing.Queries` puts a table's names in."""

# ruff: noqa: S608 - templates of our own; a table's names come in quoted

# Which transactions are over, in 64-bit numbers that one server never gives out again. A standby that took over may not
# know the last numbers and give them out anew, which is why the server's start is part of the name.
# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT
SNAPSHOT = "concat(pg_current_snapshot(), ' ', pg_postmaster_start_time())"

# The object in the contact, be it encoded once more; NULL for every other kind of contact.
OBJECT_IN_JSONB = """
    CASE jsonb_typeof(b.{contact}) WHEN 'object' THEN b.{contact}
         WHEN 'string' THEN gateway.decoded(b.{contact} #>> '{{}}') END AS contact
"""
# Reading text takes so long that it is done once a row, which OFFSET 0 sees to, and not at every mention.
OBJECT_IN_TEXT = "gateway.decoded(CAST(b.{contact} AS text)) AS contact OFFSET 0"
# The totals are not known before the first user_totals.changed; until then there is no user to show, but NULL.
USER = """
    '{{"id"\\:"' || CAST(t.user_id AS text) || '","totalBookings"\\:' || CAST(t.total_bookings AS text)
        || ',"totalSpent"\\:"' || CAST(round(t.total_spent, {decimals}) AS text) || '"}}'
"""
# An open dispute, or one that took money, says more than what is left.
PAYMENT_STATUS = """
    CASE WHEN p.in_dispute THEN 'disputed'
         WHEN coalesce(p.received, 0) = 0 THEN 'unpaid'
         WHEN p.refunded = 0 THEN 'paid'
         WHEN p.refunded < p.received THEN 'partially_refunded'
         ELSE 'refunded' END
"""

# One row each, not one text of all: PostgreSQL would copy megabytes several times over. Without LIMIT and OFFSET 0, the
# JSON is made before sorting, by parallel workers.
LISTING = """
    {before}SELECT convert_to({fields}, 'UTF8') AS body{total}
    FROM {rows} b
    CROSS JOIN LATERAL ({contact_object}) c
    LEFT JOIN {users}
    LEFT JOIN {payments}
    WHERE {condition}
    ORDER BY b.{created_at} DESC, b.{id}
"""
EXPORT = """
    SELECT {cells}
    FROM {table} b
    CROSS JOIN LATERAL ({contact_object}) c
    {payments}
    WHERE {condition}
    ORDER BY b.{created_at} DESC, b.{id}
"""
# Who made it, of all bookings at once or of each on its own: a page of 50 must not read everybody.
_TOTALS = """
    LEFT JOIN gateway.customer m ON m.user_id = l.user_id AND m.canonical_id IS NOT NULL
    JOIN gateway.customer t ON t.user_id = coalesce(m.canonical_id, l.user_id) AND t.totals_sequence > 0
"""
USERS_OF_ALL = f"(gateway.booking_user l {_TOTALS}) ON l.booking_id = CAST(b.{{id}} AS text)"
USERS_OF_EACH = f"""LATERAL (
        SELECT t.user_id, t.total_bookings, t.total_spent FROM gateway.booking_user l {_TOTALS}
        WHERE l.booking_id = CAST(b.{{id}} AS text) OFFSET 0
    ) t ON true"""
# What payments come to, likewise.
_SUMS = """
    sum(received) AS received, sum(refunded) AS refunded, bool_or(open_disputes > 0 OR disputed > 0) AS in_dispute
    FROM gateway.booking_payment WHERE status = 'succeeded'
"""
PAYMENTS_OF_ALL = f"(SELECT booking_id, {_SUMS} GROUP BY booking_id) p ON p.booking_id = CAST(b.{{id}} AS text)"
PAYMENTS_OF_EACH = f"LATERAL (SELECT {_SUMS} AND booking_id = CAST(b.{{id}} AS text)) p ON true"

# The limit stands in the text, and an offset only where there is one, so that the plan is made for so many rows and
# kept. A CTE sorts rows as they are stored; a subquery, which is pruned to the columns needed, would take every row of
# the table apart and build it anew first, at five times the cost.
PAGE = """WITH page AS MATERIALIZED (
        SELECT b.* FROM {table} b {searching} WHERE {condition}
        ORDER BY b.{created_at} DESC, b.{id} LIMIT {limit}
    )
    """
COUNT = "SELECT count(*) FROM {table} b {searching} WHERE {condition}"
# What the database holds is named in the statement that reads it, which has one snapshot for both. Where that is what
# the caller has seen, neither subquery is run. OFFSET 0 makes the name once.
ANSWER = f"""
    SELECT name, CASE WHEN name <> CAST(:seen AS text) THEN ({{count}}) END AS total,
           CASE WHEN name <> CAST(:seen AS text) THEN ARRAY({LISTING}) END AS bodies
    FROM (SELECT {SNAPSHOT} AS name OFFSET 0) now
"""
SEARCHING = "CROSS JOIN LATERAL ({contact_object}) c"  # what MATCHES needs
BY_ID = "b.{id} = CAST(CAST(:id AS text) AS {id_type})"

# The trigger hands the trace on to the event. Zone-less times in a body are the legacy server's own. A row the legacy
# application holds is not waited for long: those who wait would use up the connections of all others.
PREPARE = """prepared AS MATERIALIZED (
    SELECT concat(set_config('gateway.traceparent', :traceparent, true), set_config('TimeZone', :zone, true),
                  set_config('lock_timeout', '3s', true)) AS done
)"""
# json_populate_record reads every type as PostgreSQL itself does; only the named columns are taken from it. It waits
# for what was prepared, by needing it.
RECORD = """
    prepared CROSS JOIN LATERAL
    json_populate_record(CAST(NULL AS {table}), CASE WHEN done <> '' THEN CAST(:body AS json) END) r
"""
# The row as it was is locked first, so that what is told of it is what was changed.
_WAS = f"""
    was AS MATERIALIZED (
        SELECT b.* FROM {{table}} b CROSS JOIN prepared WHERE done <> '' AND {BY_ID} FOR NO KEY UPDATE OF b
    )
"""
INSERT = f"""
    WITH {{prepare}}, written AS (INSERT INTO {{table}} ({{columns}}) SELECT {{values}} FROM {RECORD} RETURNING *)
"""
UPDATE = f"""
    WITH {{prepare}}, {_WAS}, written AS (
        UPDATE {{table}} b SET ({{columns}}) = ROW({{values}})
        FROM was CROSS JOIN {RECORD} WHERE b.{{id}} = was.{{id}} RETURNING b.*
    )
"""
# The answer of a write that reads nothing of the read model.
WRITTEN = "{before}SELECT CAST(b.{id} AS text) AS id{total} FROM written b"
DELETE = f"""
    WITH {{prepare}}, {_WAS}
    DELETE FROM {{table}} b USING was WHERE b.{{id}} = was.{{id}}
    RETURNING CAST(row_to_json(was.*) AS text) AS before, CAST(NULL AS text) AS after
"""
IMAGE_OF_NEW = ", CAST(NULL AS text) AS before, CAST(row_to_json(b.*) AS text) AS after"
IMAGES = ", (SELECT CAST(row_to_json(was.*) AS text) FROM was) AS before, CAST(row_to_json(b.*) AS text) AS after"

# The row as text, but for the user's id, which is no change of it; in one zone, so that every session says the same.
VERSION = f"""
    WITH {{prepare}}
    SELECT md5(CAST(ROW({{kept}}) AS text)) FROM {{table}} b CROSS JOIN prepared WHERE done <> '' AND {BY_ID} {{lock}}
"""
LOCK = "FOR NO KEY UPDATE OF b"

STATUS_IS = "lower(CAST(b.{status} AS text)) = lower(CAST(:status AS text))"
MATCHES = "concat_ws(' ', {searched}) ILIKE :search"
