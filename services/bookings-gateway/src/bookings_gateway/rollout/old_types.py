"""Each PostgreSQL type as the old server wrote it, out of PostgreSQL's own text, as its driver did.

On purpose nothing is shared with ``wire.py``, which has PostgreSQL write the same: two ways that agree prove something.
https://github.com/brianc/node-pg-types/blob/master/lib/textParsers.js
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo

Text = str | None
Encode = Callable[[str, tzinfo], str]

_TIME = re.compile(
    r"(\d+)-(\d\d)-(\d\d)(?: (\d\d):(\d\d):(\d\d)(\.\d+)?)?([+-]\d\d(?::\d\d){0,2})?( BC)?",
)
_UTC_TIME = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,3})\d*)?\+00")  # nearly every one
_INTERVAL = re.compile(r"(-?\d+) (year|mon|day)s?|([+-])?(\d+):(\d\d):(\d\d)(?:\.(\d+))?")
_POINT = re.compile(r"<?\(([^,]+),([^)]+)\)(?:,([^>]+)>)?")
_ITEM = re.compile(r'"((?:[^"\\]|\\.)*)"|([^,{}]+)|([{},])', re.DOTALL)
_ENCODER = json.JSONEncoder(ensure_ascii=False)
_CYCLE = 400  # years after which the calendar repeats itself
_LATEST = (275760, "09-13T00:00:00.000Z")  # JavaScript's last time


def encode(value: Text, type_: str, zone: tzinfo) -> str:
    """Return the JSON the old server sent for a column's text."""
    if value is None:
        return "null"
    if type_.endswith("[]"):
        item = _ITEMS.get(type_[:-2])
        return _string(value, zone) if item is None else _list(value, item, zone)
    return _VALUES.get(type_, _string)(value, zone)


def is_read(type_: str) -> bool:
    """Whether a value of this type is more than a string to the old driver, and the type's name says all of it."""
    return type_ in _VALUES or (type_.endswith("[]") and type_[:-2] in _ITEMS and type_ != "character[]")


def _string(value: str, _zone: tzinfo) -> str:
    return _ENCODER.encode(value)


def _verbatim(value: str, _zone: tzinfo) -> str:
    return value


def _boolean(value: str, _zone: tzinfo) -> str:
    return "true" if value.startswith("t") else "false"


def _float(value: str, _zone: tzinfo) -> str:
    return value if math.isfinite(float(value)) else "null"


def _moment(value: str, zone: tzinfo) -> str:
    """A time as ``toISOString`` writes it; one without zone is the server's own."""
    if usual := _UTC_TIME.fullmatch(value):
        date, clock, fraction = usual.groups()
        return f'"{date}T{clock}.{fraction or "":0<3}Z"'
    found = _TIME.fullmatch(value)
    if found is None:
        return "null"
    year, month, day, hour, minute, second = (int(part or 0) for part in found.group(1, 2, 3, 4, 5, 6))
    year = 1 - year if found[9] else year
    shift = _shift(year)
    milliseconds = int(((found[7] or ".")[1:] + "000")[:3])
    time = datetime(year - shift, month or 1, day or 1, hour, minute, second, milliseconds * 1000, tzinfo=UTC)
    instant = time - _offset(found[8]) if found[8] else time.replace(tzinfo=zone).astimezone(UTC)
    return _iso(instant, instant.year + shift, milliseconds)


def _shift(year: int) -> int:
    """Years to go by to where datetime reaches, whole cycles: the far past stays before all clocks' changes."""
    if 1 < year < 9999:
        return 0
    return (year - (2000 if year > 1 else _CYCLE)) // _CYCLE * _CYCLE


def _offset(written: str) -> timedelta:
    hours, minutes, seconds = (int(part) for part in [*written[1:].split(":"), "0", "0"][:3])
    offset = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return -offset if written[0] == "-" else offset


def _iso(instant: datetime, year: int, milliseconds: int) -> str:
    rest = f"{instant:%m-%dT%H:%M:%S}.{milliseconds:03}Z"
    if (year, rest) > _LATEST:
        return "null"
    written = f"{year:04}" if 0 <= year <= 9999 else f"{'-' if year < 0 else '+'}{abs(year):06}"
    return f'"{written}-{rest}"'


def _interval(value: str, _zone: tzinfo) -> str:
    names, parts = {"year": "years", "mon": "months", "day": "days"}, dict[str, float]()
    for count, unit, sign, hours, minutes, seconds, fraction in _INTERVAL.findall(value):
        if unit:
            parts[names[unit]] = int(count)
            continue
        clock = {"hours": int(hours), "minutes": int(minutes), "seconds": int(seconds)}
        clock_parts: dict[str, float] = {**clock, "milliseconds": int((fraction + "000000")[:6]) / 1000}
        parts |= {name: -part if sign == "-" else part for name, part in clock_parts.items()}
    return json.dumps({name: part for name, part in parts.items() if part})


def _bytes(value: str, _zone: tzinfo) -> str:
    return json.dumps({"type": "Buffer", "data": list(bytes.fromhex(value.removeprefix("\\x")))})


def _point(value: str, _zone: tzinfo) -> str:
    found = _POINT.fullmatch(value)
    x, y, radius = found.groups() if found else (None, None, None)
    return f'{{"x":{x},"y":{y}' + (f',"radius":{radius}' if radius is not None else "") + "}"


def _list(value: str, item: Encode, zone: tzinfo) -> str:
    """PostgreSQL's ``{a,"b,c",NULL}``, of any depth; its bounds stand before it where they do not begin at one."""

    def written() -> Iterator[str]:
        for quoted, bare, mark in _ITEM.findall(value, value.index("{")):
            if mark:
                yield {"{": "[", "}": "]", ",": ","}[mark]
            elif bare:
                yield "null" if bare == "NULL" else item(bare, zone)
            else:
                yield item(re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL), zone)

    return "".join(written())


_VALUES: Mapping[str, Encode] = {
    **dict.fromkeys(("smallint", "integer", "oid", "json", "jsonb"), _verbatim),
    **dict.fromkeys(("real", "double precision"), _float),
    **dict.fromkeys(("timestamp with time zone", "timestamp without time zone", "date"), _moment),
    "boolean": _boolean,
    "interval": _interval,
    "bytea": _bytes,
    "point": _point,
    "circle": _point,
}
_STRINGS = ("text", "character varying", "character", "uuid", "bigint", "inet", "cidr", "macaddr", "money", "numrange")
_ITEMS: Mapping[str, Encode] = {
    **{type_: form for type_, form in _VALUES.items() if type_ != "circle"},
    **dict.fromkeys((*_STRINGS, "time without time zone", "time with time zone"), _string),
    "numeric": _float,
}
