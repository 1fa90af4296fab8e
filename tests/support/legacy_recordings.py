"""What the old server answers over messy rows of each layout: how it is asked, and where the answers are kept.

``python -m support.legacy_recordings`` asks the server itself and writes them.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from support import legacy_layouts, legacy_rows
from support.legacy_rows import CONTACTS, PERSON, Row

GOLDEN = Path(__file__).parents[1] / "bookings_gateway" / "golden" / "legacy"
LISTING = "/api/admin/bookings"
ID = "00000000-0000-4000-8000-0000000000aa"
_TIME = "2025-02-03T04:05:06.789Z"


@dataclass(frozen=True)
class Scene:
    """A table with rows, and the body of a booking to be made in it."""

    table: str
    rows: Sequence[Row]
    body: Mapping[str, object]
    change: Mapping[str, object]
    columns: str = "id,createdAt,updatedAt"

    @property
    def updated_at(self) -> str:
        return self.columns.split(",")[2]

    @property
    def some_id(self) -> str:
        return self.rows[0]["id"].strip("'")


def _layout(name: str, rows: Sequence[Row], body: Mapping[str, object], columns: str) -> Scene:
    return Scene(legacy_layouts.LAYOUTS[name].table, rows, body, {"status": "Odd", "notes": "ünï"}, columns)


def _numbered(columns: str, rows: Sequence[Row], *, id_: str = "'00000000-0000-4000-8000-{:012}'") -> list[Row]:
    _, created_at, updated_at = columns.split(",")
    times = [f"'2025-01-{day + 1:02} 10:30:00.1234+00'" for day in range(31)]
    return [
        {"id": id_.format(number), created_at: times[number % 31], updated_at: times[0], **row}
        for number, row in enumerate(rows, 1)
    ]


def _as_text(contact: str) -> str:
    return contact if contact == "NULL" else contact.removesuffix("::jsonb")


_TEXTS = [*map(_as_text, CONTACTS), "''", "'not json'", "'[1'", "'null '"]
_FLAT = [
    {"contactName": name, "contactEmail": email, "contactPhone": "'0123'", "totalPrice": price}
    for name, email, price in [
        ("'Ann Lee'", "'Ann@Example.com'", "67.5"),
        ("NULL", "NULL", "NULL"),
        ("''", "' '", "0"),
        ("' Zoë  Ó''Neill 🎟'", "'no-at-sign'", "-1"),
        ("'undefined undefined'", "'undefined'", "'NaN'"),
    ]
]

SCENES = {
    "default": Scene(
        legacy_rows.TABLE,
        list(legacy_rows.every_kind()),
        {
            "id": ID,
            "bookingReference": "NEW",
            "status": "PENDING",
            "contactDetails": PERSON,
            "participants": None,
            "finalAmount": "67.50",
            "createdAt": _TIME,
            "updatedAt": _TIME,
            "extra": {"n": 1.5, "t": "ünï"},
            "big": "9007199254740993",
        },
        {"status": "Odd", "contactDetails": {"name": "Zoë"}, "finalAmount": "1.00", "label": None, "ratio": 0.1},
    ),
    "lower_case": _layout(
        "lower_case",
        _numbered("id,createdat,updatedat", [{"contactdetails": text, "finalamount": "68"} for text in _TEXTS]),
        {
            "id": ID,
            "bookingreference": "NEW",
            "contactdetails": PERSON,
            "finalamount": 68,
            "createdat": _TIME,
            "updatedat": _TIME,
        },
        "id,createdat,updatedat",
    ),
    "snake_case": _layout(
        "snake_case",
        _numbered(
            "id,created_at,updated_at",
            [{"contact_details": contact, "user_email": "'a@b.c'", "payment_amount": "1"} for contact in CONTACTS],
            id_="{}",
        ),
        {
            "id": 4711,
            "booking_reference": "NEW",
            "contact_details": PERSON,
            "status": "pending",
            "payment_amount": "67.50",
            "created_at": _TIME,
            "updated_at": _TIME,
        },
        "id,created_at,updated_at",
    ),
    "flat_contact": _layout(
        "flat_contact",
        _numbered("id,createdAt,updatedAt", _FLAT),
        {
            "id": ID,
            "confirmationCode": "NEW",
            "contactName": "Ann Lee",
            "status": "PENDING",
            "totalPrice": "67.50",
            "createdAt": _TIME,
            "updatedAt": _TIME,
        },
        "id,createdAt,updatedAt",
    ),
}


async def answers(client: httpx.AsyncClient, scene: Scene) -> dict[str, str]:
    """Ask for everything there is to ask, in this order; name → body as it was sent."""
    new = f"{LISTING}/{scene.body['id']}"
    asked = {
        "list": await client.get(LISTING),
        "page": await client.get(LISTING, params={"limit": 3}),
        "one": await client.get(f"{LISTING}/{scene.some_id}"),
        "made": await client.post(LISTING, json=scene.body),
        "changed": await client.put(new, json=scene.change),
        "deleted": await client.delete(new),
        "gone": await client.get(new),
    }
    return {name: answer.text for name, answer in asked.items()}


def written(recorded: Mapping[str, str]) -> str:
    """Return the answers as one JSON text: a row a line, each exactly as it was sent."""
    parts = (f"{json.dumps(name)}: {_lines(body)}" for name, body in recorded.items())
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _lines(body: str) -> str:
    if not body.startswith("["):
        return body
    decoder, position, rows = json.JSONDecoder(), 1, []
    while body[position] != "]":
        _, end = decoder.raw_decode(body, position)
        rows.append(body[position:end])
        position = end + (body[end] == ",")
    return "[\n" + ",\n".join(rows) + "\n]"


async def record() -> None:
    """Run the old server over each scene and write what it answers."""
    from benchmarks.infrastructure import STATE
    from local_stack.ports import free_port
    from local_stack.postgres import LocalPostgres
    from support.databases import Databases
    from support.express import express

    postgres = LocalPostgres(STATE / "postgres", free_port(), fsync=False)
    postgres.start()
    try:
        for name, scene in SCENES.items():
            url = await Databases(postgres, {}).create()
            await legacy_rows.create_and_fill(url, scene.rows, scene.table)
            async with express(url, columns=scene.columns) as server, httpx.AsyncClient(base_url=server.url) as client:
                (GOLDEN / f"{name}.json").write_text(written(await answers(client, scene)))
    finally:
        postgres.stop()


if __name__ == "__main__":
    asyncio.run(record())
