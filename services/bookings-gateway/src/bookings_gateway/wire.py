"""How the old server wrote each PostgreSQL type: the ``pg`` driver's default parsers, then ``JSON.stringify``.

https://github.com/brianc/node-pg-types/blob/master/lib/textParsers.js
"""

from collections.abc import Callable, Mapping

from bookings_gateway.legacy_table import literal, quoted

_UTC = """'YYYY-MM-DD"T"HH24\\:MI\\:SS.MS"Z"'"""  # milliseconds are cut, not rounded, by both
_LISTS = ("text[]", "character varying[]", "character[]", "uuid[]", "integer[]", "smallint[]", "boolean[]", "numeric[]")


def _same(column: str, _zone: str) -> str:
    return column


def _as_text(column: str, _zone: str) -> str:
    return f"CAST({column} AS text)"


def _instant(column: str, _zone: str) -> str:
    """``2025-01-15T10:30:00.000Z``; an infinite time is no JSON number and became null."""
    return f"CASE WHEN isfinite({column}) THEN to_char({column} AT TIME ZONE 'UTC', {_UTC}) END"


def _local_time(column: str, zone: str) -> str:
    """A time without zone, and the midnight of a date, were taken as the server's own time."""
    local = f"(CAST({column} AS timestamp) AT TIME ZONE '{zone}')"
    return f"CASE WHEN isfinite({column}) THEN to_char({local} AT TIME ZONE 'UTC', {_UTC}) END"


def _finite(column: str, _zone: str) -> str:
    """NaN and the infinities are null in JSON."""
    return f"CASE WHEN {column} NOT IN ('NaN', 'Infinity', '-Infinity') THEN {column} END"


def _bigint_list(column: str, _zone: str) -> str:
    return f"CAST({column} AS text[])"


def _interval(column: str, _zone: str) -> str:
    """An object of the parts that are not zero."""
    parts = {
        "years": f"extract(year FROM {column})",
        "months": f"extract(month FROM {column})",
        "days": f"extract(day FROM {column})",
        "hours": f"extract(hour FROM {column})",
        "minutes": f"extract(minute FROM {column})",
        "seconds": f"trunc(extract(second FROM {column}))",
        "milliseconds": f"mod(extract(microseconds FROM {column}), 1000000) / 1000.0",
    }
    fields = ", ".join(f"'{name}', nullif(trim_scale(CAST({part} AS numeric)), 0)" for name, part in parts.items())
    return f"CASE WHEN {column} IS NOT NULL THEN jsonb_strip_nulls(jsonb_build_object({fields})) END"


def _bytes(column: str, _zone: str) -> str:
    items = f"SELECT json_agg(get_byte({column}, i)) FROM generate_series(0, length({column}) - 1) i"  # noqa: S608 - a quoted column
    buffer = f"json_build_object('type', 'Buffer', 'data', coalesce(({items}), '[]'))"
    return f"CASE WHEN {column} IS NOT NULL THEN {buffer} END"


_FORMS: Mapping[str, Callable[[str, str], str]] = {
    **dict.fromkeys(("smallint", "integer", "oid", "boolean", "character", "json", "jsonb", *_LISTS), _same),
    **dict.fromkeys(("real", "double precision"), _finite),
    "timestamp with time zone": _instant,
    "timestamp without time zone": _local_time,
    "date": _local_time,
    "interval": _interval,
    "bytea": _bytes,
    "bigint[]": _bigint_list,
}


def wire(column: str, type_: str, *, zone: str) -> str:
    """Return the SQL expression whose JSON is what the old server sent for ``column`` (quoted) of ``type_``.

    What is not listed was text to the old driver: numeric, bigint, uuid, enumerations, times of day.
    """
    return _FORMS.get(type_, _as_text)(column, zone)


def stored(name: str, type_: str, *, zone: str) -> str:
    """Return the SQL expression that stores field ``name`` of ``:body``, read as record ``r``: the way back.

    A time without zone, and a date, is the local one of the instant that was sent.
    """
    column = f"r.{quoted(name)}"
    if type_ not in {"timestamp without time zone", "date"}:
        return column
    sent = f"CAST(CAST(:body AS json) ->> '{literal(name)}' AS timestamptz)"
    return f"CAST({sent} AT TIME ZONE '{zone}' AS {type_})"
