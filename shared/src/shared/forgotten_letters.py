"""Erased people in dead letters: one way to find their letters and to empty them, for every service that keeps any.

A letter is told by its subject. What could not be read as an event, and a batch set aside as a whole, has none: its
text is searched for the ids it names. An event says whom it is about before it says anything of them, so one that was
cut off before its subject holds nothing of anybody.
"""

from sqlalchemy import TextClause, text

# Under a name and in quotes: where bookings are numbered, any number in a text would be somebody's.
_NAMING = r"""
    EXISTS (SELECT FROM (
        SELECT d.subject AS id WHERE d.subject IS NOT NULL
        UNION ALL
        SELECT said.match[2]
        FROM regexp_matches(encode(d.body, 'escape'), '"(subject|booking_id|user_id)" *: *"([^"]+)"', 'g') said (match)
        WHERE d.subject IS NULL
    ) named WHERE EXISTS ({theirs}))
"""
# An error may repeat what it could not read.
_FORGET = """
    UPDATE {table} d SET body = '', reason = 'the person was erased', x_death = NULL,
        state = CASE WHEN state = 'open' THEN 'discarded' ELSE state END,
        decided_at = coalesce(decided_at, now()), decided_by = coalesce(decided_by, 'erase')
    WHERE body <> '' AND ({condition})
"""


def forgetting_letters(*conditions: str, table: str = "dead_letter") -> TextClause:
    """Return the statement that empties the letters ``d`` for which any of these holds, and discards them.

    They keep their rows, with type, attempts and times. Running it again changes nothing.
    """
    return text(_FORGET.format(table=table, condition=" OR ".join(conditions)))


def naming(theirs: str) -> str:
    """Return the condition that a letter names an erased person.

    ``theirs`` is a query with a row in it when ``named.id``, a user's or a booking's id as text, is such a person's.
    """
    return _NAMING.format(theirs=theirs)
