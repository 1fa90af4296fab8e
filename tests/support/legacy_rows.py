"""Legacy rows of every messy kind, as SQL: what JSON cannot say, as SQL NULL beside JSON null, is said exactly."""

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from uuid import UUID

import asyncpg

Row = Mapping[str, str]
Values = Mapping[str, Sequence[str]]

PERSON = {"firstName": "Ann", "lastName": "Lee", "email": "Ann@Example.com", "phone": "0123", "company": "Acme"}


def jsonb(value: object) -> str:
    """Return the SQL literal of a JSON value."""
    return _quoted(json.dumps(value, ensure_ascii=False)) + "::jsonb"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


CONTACTS = [
    jsonb(PERSON),
    "NULL",
    "'null'::jsonb",
    "'{}'::jsonb",
    """'""'::jsonb""",
    """'"  "'::jsonb""",
    "'[]'::jsonb",
    jsonb([PERSON]),
    jsonb(json.dumps(PERSON)),
    jsonb(json.dumps(json.dumps(PERSON))),
    jsonb("{not json"),
    jsonb("Ann Lee"),
    jsonb(17),
    "'true'::jsonb",
    jsonb({"name": "Ann Lee", "email": "ann@example.com"}),
    jsonb({"firstName": "Ann"}),
    jsonb({"lastName": "Lee", "email": None}),
    jsonb({"firstName": None, "lastName": None, "email": None}),
    jsonb({"firstName": "undefined", "lastName": "undefined", "email": "undefined"}),
    jsonb({"firstName": " Ann ", "lastName": "\tLee\n", "email": "  ANN@example.com "}),
    jsonb({"firstName": ["Ann"], "lastName": {"of": "Lee"}, "email": 7}),
    jsonb({"firstName": "Zoë 🎟", "lastName": 'Ó\'Neill "Q"', "email": "zoë@exämple.com", "phone": "+44 (0)20 1"}),
    jsonb({"firstName": "عمر", "lastName": "山田", "email": "no-at-sign", "notes": "</script> \u2028 \\ /"}),
    jsonb({**PERSON, "10": "ten", "2": "two", "customerName": "x", "deep": {"a": [1, {"b": None}]}}),
]

# Every type a legacy table may hold, each with its ordinary, odd and extreme values.
TYPES: dict[str, tuple[str, Sequence[str]]] = {
    "small": ("smallint", ["7", "-32768", "NULL"]),
    "count": ("integer", ["0", "2147483647", "-1", "NULL"]),
    "big": ("bigint", ["1", "9007199254740993", "-9223372036854775808", "NULL"]),
    "discount": ("numeric", ["0", "1.50", "-0.001", "'NaN'", "'Infinity'", "12345678901234567890.123456789", "NULL"]),
    "ratio": ("double precision", ["0.1", "1e21", "1e-7", "-0.0", "5e-324", "'NaN'", "'-Infinity'", "100", "NULL"]),
    "score": ("real", ["0.1", "1e10", "'Infinity'", "-0.0", "16777216", "NULL"]),
    "fits": ("boolean", ["true", "false", "NULL"]),
    "code": ("char(4)", ["'ab'", "'abcd'", "''", "NULL"]),
    "label": ("varchar(40)", ["'plain'", "''", "E'tab\\t \"quote\" \\\\ line\\n'", "'ünï 🎟'", "NULL"]),
    "kind": ('"char"', ["'x'", "''", "NULL"]),
    "owner": ("uuid", ["'A0000000-0000-4000-8000-00000000000A'", "NULL"]),
    "source": ("oid", ["7", "4294967295", "NULL"]),
    "raw": (
        "json",
        [
            """'{"b": 1, "a": [1, null, 2.50],  "b": 2}'""",
            """'{"n": 9007199254740993, "m": 12345678901234567890, "f": 1.0, "e": 1E2, "z": -0}'""",
            """'"\\u0000 \\ud83c\\udf9f \\ud800"'""",
            """'null'""",
            """' [ ] '""",
            "NULL",
        ],
    ),
    "extra": (
        "jsonb",
        [
            """'{"n": 9007199254740993, "m": 12345678901234567890, "f": 1.0, "e": 1E2, "s": 0.10000000000000000001}'""",
            """'{"dateOfBirth": "1990-02-30", "dietary": "", "medical": null, "__proto__": {"a": 1}}'""",
            "'null'",
            "'[]'",
            "'7'",
            "'false'",
            "NULL",
        ],
    ),
    "moment": (
        "timestamptz",
        [
            "'2025-01-15 10:30:00+00'",
            "'2025-01-15 10:30:00.9999+00'",
            "'2025-07-01 10:30:00.000001+05:30'",
            "'1969-12-31 23:59:59.999999+00'",
            "'1899-12-31 23:00:00+00'",
            "'infinity'",
            "'-infinity'",
            "'0001-01-01 00:00:00+00'",
            "'0044-03-15 12:00:00+00 BC'",
            "'9999-12-31 23:59:59.999+00'",
            "'10000-01-01 00:00:00+00'",
            "NULL",
        ],
    ),
    "local": (
        "timestamp",
        [
            "'2025-07-01 10:30:00'",
            "'2025-01-31 23:30:00.5'",
            "'2025-03-30 01:30:00'",  # does not exist in London
            "'2025-10-26 01:30:00'",  # is there twice
            "'2025-10-26 00:59:59.999'",
            "'2025-10-26 02:00:00'",
            "'infinity'",
            "'1970-01-01 00:30:00'",
            "NULL",
        ],
    ),
    "day": ("date", ["'2025-07-01'", "'2025-01-31'", "'2025-10-26'", "'1970-06-01'", "'infinity'", "NULL"]),
    "clock": ("time", ["'10:30:00'", "'23:59:59.123456'", "NULL"]),
    "clock_zone": ("timetz", ["'10:30:00+02'", "NULL"]),
    "span": (
        "interval",
        [
            "'1 year 2 mons 3 days 04:05:06.789'",
            "'-1 day -02:03:04.5'",
            "'0'",
            "'90 minutes'",
            "'100 hours'",
            "'0.000001 second'",
            "NULL",
        ],
    ),
    "bytes": ("bytea", ["'\\x00ff10'", "''", "NULL"]),
    "tags": ("text[]", ["ARRAY['a', NULL, 'NULL', 'x,y', '\"q\"']", "'{}'", "ARRAY[['a','b'],['c','d']]", "NULL"]),
    "numbers": ("integer[]", ["ARRAY[1, NULL, -3]", "'{}'", "NULL"]),
    "bigs": ("bigint[]", ["ARRAY[9007199254740993, NULL]", "'{}'", "NULL"]),
    "sums": ("numeric[]", ["ARRAY[1.50, NULL, 'NaN', 12345678901234567890.1]", "'{}'", "NULL"]),
    "ratios": ("double precision[]", ["ARRAY[0.1, 'NaN', '-Infinity', NULL]", "'{}'", "NULL"]),
    "flags": ("boolean[]", ["ARRAY[true, NULL, false]", "'{}'", "NULL"]),
    "days": ("date[]", ["ARRAY['2025-07-01', NULL, 'infinity']::date[]", "'{}'", "NULL"]),
    "moments": ("timestamptz[]", ["ARRAY['2025-07-01 10:30+01', NULL]::timestamptz[]", "'{}'", "NULL"]),
    "locals": ("timestamp[]", ["ARRAY['2025-07-01 10:30', '2025-10-26 01:30']::timestamp[]", "'{}'", "NULL"]),
    "raws": ("jsonb[]", ["""ARRAY['{"a": 1}', 'null', NULL]::jsonb[]""", "'{}'", "NULL"]),
    "keys": ("uuid[]", ["ARRAY['A0000000-0000-4000-8000-00000000000A']::uuid[]", "'{}'", "NULL"]),
    "place": ("point", ["'(1.5,-2)'", "NULL"]),
    "area": ("circle", ["'<(1.5,-2),3>'", "NULL"]),
    "address": ("inet", ["'10.0.0.1/32'", "'10.0.0.0/8'", "NULL"]),
    "price": ("money", ["'12.50'", "NULL"]),
    "within": ("int4range", ["'[1,5)'", "'empty'", "NULL"]),
    "mood": ("mood", ["'glad'", "NULL"]),
    "capped": ("capped", ["1.5", "NULL"]),
    "customerPhone": ("text", ["'0123'", "NULL"]),
    "odd: \"name'": ("text", ["'x'", "NULL"]),
}

TABLE = f"""
    CREATE TYPE mood AS ENUM ('glad');
    CREATE DOMAIN capped AS numeric(10,2);
    CREATE TABLE bookings (
        id uuid PRIMARY KEY, "bookingReference" text, status text, "contactDetails" jsonb, participants jsonb,
        "finalAmount" numeric(10, 2), "paymentDate" timestamptz, "paymentMethod" text, "paymentReference" text,
        "createdAt" timestamptz NOT NULL, "updatedAt" timestamptz,
        {", ".join(f'"{name.replace(chr(34), chr(34) * 2)}" {type_}' for name, (type_, _) in TYPES.items())}
    )
"""

VALUES: Values = {
    "bookingReference": ["'R-1'", "'22-CHARACTER-REFERENCE'", "NULL", "''"],
    "status": [
        "'PENDING'", "'CONFIRMED'", "'PAID'", "'ATTENDED'", "'COMPLETED'", "'CANCELLED'", "'NO_SHOW'", "'paid'",
        "'Something new'", "''", "NULL",
    ],
    "contactDetails": CONTACTS,
    "participants": ["'[]'", """'[{"name": "Bo", "dateOfBirth": "1990-01-01", "medicalNotes": "none"}]'""", "NULL"],
    "finalAmount": ["67.5", "0", "NULL", "-12.34", "99999999.99", "'NaN'"],
    "paymentDate": ["'2025-01-15 10:30:00+00'", "NULL", "'infinity'"],
    "paymentMethod": ["'CARD'", "NULL", "'INVOICE'"],
    "paymentReference": ["'pi_123'", "NULL"],
    "updatedAt": ["'2025-01-16 09:00:00.123456+00'", "NULL"],
    **{name: values for name, (_, values) in TYPES.items()},
}  # fmt: skip


def every_kind() -> Iterator[Row]:
    """Yield as few rows as hold every value of every column."""
    for number in range(max(map(len, VALUES.values()))):
        yield _row(number, {name: values[number % len(values)] for name, values in VALUES.items()})


def mixed(count: int, *, seed: int = 5) -> Iterator[Row]:
    """Yield rows with every messy kind in every mixture; the same ones for a seed."""
    choose = random.Random(seed)
    for number in range(count):
        yield _row(number, {name: choose.choice(values) for name, values in VALUES.items()})


def _row(number: int, columns: Row) -> Row:
    created_at = f"timestamptz '2025-01-01 00:00:00.1234+00' + interval '{number} minutes'"
    return {"id": f"'{UUID(int=0x4000_8000_0000_0000_0000 + number)}'", "createdAt": created_at, **columns}


async def create_and_fill(url: str, rows: Iterable[Row], table: str = TABLE) -> None:
    """Create the table and insert the rows, as another program's SQL."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(table)
        await insert_rows(connection, list(rows))
    finally:
        await connection.close()


async def insert_rows(connection: asyncpg.Connection, rows: Sequence[Row], page: int = 500) -> None:
    """Insert rows that name the same columns."""
    names = ", ".join('"' + name.replace('"', '""') + '"' for name in rows[0])
    async with connection.transaction():
        for start in range(0, len(rows), page):
            values = ", ".join(f"({', '.join(row.values())})" for row in rows[start : start + page])
            await connection.execute(f"INSERT INTO bookings ({names}) VALUES {values}")  # noqa: S608 - of this file
