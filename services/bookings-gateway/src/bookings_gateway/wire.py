"""How the old server wrote each PostgreSQL type: the ``pg`` driver's default parsers, then ``JSON.stringify``.

https://github.com/brianc/node-pg-types/blob/master/lib/textParsers.js
"""

import json
from collections.abc import Callable, Mapping

from bookings_gateway.legacy_table import literal, quoted

_UTC = """'YYYY-MM-DD"T"HH24\\:MI\\:SS.MS"Z"'"""  # milliseconds are cut, not rounded, by both
_FOUR_DIGIT_YEARS = "'0001-01-01 00\\:00\\:00Z' AND '9999-12-31 23\\:59\\:59.999999Z'"
_NEAR_LOCAL = "'0001-01-02' AND '9999-12-30'"  # in whatever zone, an instant within these years
_LATEST = "'275761-01-01'"  # later than JavaScript's last time in whatever zone, and PostgreSQL has it as a timestamp

Form = Callable[[str, str], str]


def _same(column: str, _zone: str) -> str:
    return column


def _as_text(column: str, _zone: str) -> str:
    return f"CAST({column} AS text)"


def _number(column: str, _zone: str) -> str:
    return f"CAST({column} AS bigint)"


def _instant(column: str, _zone: str) -> str:
    """``2025-01-15T10:30:00.000Z``; other years are rare enough for a function, and for null where it is infinite."""
    written = f"to_char({column} AT TIME ZONE 'UTC', {_UTC})"
    return f"CASE WHEN {column} BETWEEN {_FOUR_DIGIT_YEARS} THEN {written} ELSE gateway.far_time({column}) END"


def _local_time(column: str, zone: str) -> str:
    """A time without zone, and the midnight of a date, were taken as the server's own time.

    One that comes twice, when clocks go back, is the earlier in JavaScript and the later in PostgreSQL. A far one is
    cast only where it can be: a date reaches further than a timestamp, and one further back than an hour before it.
    """
    later = f"(CAST({column} AS timestamp) AT TIME ZONE '{zone}')"
    earlier = f"{later} - interval '1 hour'"
    instant = f"CASE WHEN ({earlier}) AT TIME ZONE '{zone}' = {column} THEN {earlier} ELSE {later} END"
    written = f"to_char(({instant}) AT TIME ZONE 'UTC', {_UTC})"
    far = f"CASE WHEN {column} < {_LATEST} THEN gateway.far_local_time(CAST({column} AS timestamp), '{zone}') END"
    return f"CASE WHEN {column} BETWEEN {_NEAR_LOCAL} THEN {written} ELSE {far} END"


def _finite(column: str, _zone: str) -> str:
    """NaN and the infinities are null in JSON."""
    return f"CASE WHEN {column} NOT IN ('NaN', 'Infinity', '-Infinity') THEN {column} END"


def _list_of(form: Form) -> Form:
    """A list, or a list of lists, whose items have a form of their own."""

    def listed(column: str, zone: str) -> str:
        item = form("item", zone)
        flat = f"SELECT json_agg({item}) FROM unnest({column}) item"  # noqa: S608 - a quoted column
        texts = f"SELECT coalesce(CAST(to_json({item}) AS text), 'null') FROM unnest({column}) item"  # noqa: S608
        lengths = f"SELECT array_length({column}, d) FROM generate_series(1, array_ndims({column})) d"  # noqa: S608
        nested = f"gateway.nested(ARRAY({texts}), ARRAY({lengths}))"
        one = f"WHEN {column} IS NOT NULL THEN coalesce(({flat}), '[]')"
        return f"CASE WHEN array_ndims({column}) > 1 THEN {nested} {one} END"

    return listed


def _point(column: str, _zone: str) -> str:
    return f"CASE WHEN {column} IS NOT NULL THEN json_build_object('x', {column}[0], 'y', {column}[1]) END"


def _circle(column: str, _zone: str) -> str:
    middle = f"(center({column}))"
    parts = f"'x', {middle}[0], 'y', {middle}[1], 'radius', radius({column})"
    return f"CASE WHEN {column} IS NOT NULL THEN json_build_object({parts}) END"


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


_LISTED_AS_THEY_ARE = (
    "text", "character varying", "character", "uuid", "integer", "smallint", "oid", "boolean", "json", "jsonb", "inet",
    "cidr", "macaddr", "money", "time without time zone", "time with time zone", "numrange",
)  # fmt: skip
_FORMS: Mapping[str, Form] = {
    **dict.fromkeys(("smallint", "integer", "boolean", "character", "json", "jsonb"), _same),
    **dict.fromkeys(("text", "character varying", "uuid", "inet"), _same),
    **dict.fromkeys(("real", "double precision"), _finite),
    "timestamp with time zone": _instant,
    "timestamp without time zone": _local_time,
    "date": _local_time,
    "oid": _number,
    "interval": _interval,
    "bytea": _bytes,
    "point": _point,
    "circle": _circle,
}
_FORMS_OF_LISTS: Mapping[str, Form] = {
    **dict.fromkeys(_LISTED_AS_THEY_ARE, _same),
    **{type_: _list_of(_finite) for type_ in ("real", "double precision", "numeric")},
    **{type_: _list_of(_FORMS[type_]) for type_ in ("timestamp with time zone", "date", "interval", "bytea", "point")},
    "timestamp without time zone": _list_of(_local_time),
    "bigint": _list_of(_as_text),
}


def wire(column: str, type_: str, *, zone: str) -> str:
    """Return the SQL expression whose JSON is what the old server sent for ``column`` (quoted) of ``type_``.

    What is not listed was text to the old driver: numeric, bigint, uuid, enumerations, times of day. What is then
    written without escaping is cast to its own type, which costs nothing: where the column has become another one, the
    statement fails instead of writing what is no JSON.
    """
    if type_ in _AS_IT_STANDS | _NEVER_ESCAPED:
        column = f"CAST({column} AS {type_})"
    forms = _FORMS_OF_LISTS if type_.endswith("[]") else _FORMS
    return forms.get(type_.removesuffix("[]"), _as_text)(column, zone)


_AS_IT_STANDS = frozenset(["smallint", "integer", "oid", "json", "jsonb"])
_NEVER_ESCAPED = frozenset(
    ["uuid", "numeric", "bigint", "timestamp with time zone", "timestamp without time zone", "date"]
)
_MOST_IN_A_CHAIN = 50  # each link copies what is written so far, and is a level of the parser's stack


def json_text(expression: str, type_: str) -> str:
    """Return the SQL text of the JSON of what :func:`wire` made of ``type_``; NULL stays NULL.

    ``to_json`` is right for every type, and takes three times as long as putting quotes around.
    """
    if type_ in _AS_IT_STANDS:
        return f"CAST({expression} AS text)"
    if type_ in _NEVER_ESCAPED:
        return f"""'"' || CAST({expression} AS text) || '"'"""
    return f"CAST(to_json({expression}) AS text)"


def json_object(fields: Mapping[str, str]) -> str:
    """Return the SQL text of an object of JSON texts; NULL is null.

    ``row_to_json`` looks every type up again for every row, and ``concat`` goes through C strings, which are measured
    and copied once more for each of its arguments.
    """
    keys = [literal(json.dumps(name, ensure_ascii=False)) for name in fields]
    starts = [f"{before}{key}\\:" for before, key in zip(["{", *"," * (len(keys) - 1)], keys, strict=True)]
    members = [
        f"coalesce('{start}' || {value}, '{start}null')" for start, value in zip(starts, fields.values(), strict=True)
    ]
    members.append("'}'")
    chains = [members[start : start + _MOST_IN_A_CHAIN] for start in range(0, len(members), _MOST_IN_A_CHAIN)]
    return " || ".join(f"({' || '.join(chain)})" for chain in chains)


def stored(name: str, type_: str, *, zone: str) -> str:
    """Return the SQL expression that stores field ``name`` of ``:body``, read as record ``r``: the way back.

    A time without zone, and a date, is the local one of the instant that was sent.
    """
    column = f"r.{quoted(name)}"
    if type_ not in {"timestamp without time zone", "date"}:
        return column
    sent = f"CAST(CAST(:body AS json) ->> '{literal(name)}' AS timestamptz)"
    return f"CAST({sent} AT TIME ZONE '{zone}' AS {type_})"
