"""Where two generations differ: candidates by sums and fingerprints of all facts, then each with its totals."""

import asyncio
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from stats.projector import enter_few, enter_many
from stats.service import generations
from stats.totals import totals_of

MOST_SHOWN = 10_000
# What tells bookings and activity apart without listing them.
FINGERPRINTS = ("bookings", "activity")
_PAGE = 500

# Fingerprints do not depend on the order rows are met in.
_SIDES = [
    """
        SELECT user_id, currency, row(bookings, spent, paid, refunded, disputed) AS value FROM {schema}.currency_totals
        WHERE (bookings, spent, paid, refunded, disputed) <> (0, 0, 0, 0, 0)""",
    """
        SELECT user_id, '' AS currency,
               row(count(*), min(created_at), max(created_at), bit_xor(hashtextextended(booking_id, 0))) AS value
        FROM {schema}.booking_fact WHERE present AND user_id IS NOT NULL GROUP BY user_id""",
    """
        SELECT user_id, '' AS currency, row(count(*), max(time), bit_xor(uuid_hash_extended(event_id, 0))) AS value
        FROM {schema}.activity WHERE user_id IS NOT NULL GROUP BY user_id""",
    """
        SELECT user_id, '' AS currency, row(canonical) AS value FROM {schema}.merge_fact WHERE canonical <> user_id""",
]
_DIFFERING = """
    SELECT DISTINCT user_id FROM ({one}) AS one FULL JOIN ({other}) AS other USING (user_id, currency)
    WHERE one.value IS DISTINCT FROM other.value
"""
_FINGERPRINT = text(
    """
    SELECT u.user_id,
           (SELECT count(*) FROM activity a WHERE a.user_id = u.user_id) AS activity_lines,
           (SELECT bit_xor(uuid_hash_extended(a.event_id, 0)) FROM activity a WHERE a.user_id = u.user_id) AS activity,
           (SELECT bit_xor(hashtextextended(f.booking_id, 0)) FROM booking_fact f
            WHERE f.user_id = u.user_id AND f.present) AS bookings
    FROM unnest(CAST(:users AS uuid[])) AS u (user_id)
    """
)
_KEEP = text(
    """
    INSERT INTO rebuild_difference (rebuild_id, user_id, live, rebuilt)
    SELECT :id, d.* FROM unnest(CAST(:users AS uuid[]), CAST(CAST(:live AS text[]) AS jsonb[]),
                                CAST(CAST(:rebuilt AS text[]) AS jsonb[])) AS d (user_id, live, rebuilt)
    """
)
_FORGET = text("DELETE FROM rebuild_difference WHERE rebuild_id = :id")

Described = dict[str, Any]
Differences = dict[UUID, tuple[Described, Described]]


@dataclass(frozen=True, slots=True)
class Found:
    """Who differs, with what live and rebuilt statistics say; and how many there are, shown or not."""

    shown: Differences
    count: int


async def differing_users(engine: AsyncEngine, one: str, other: str) -> set[UUID]:
    """Return the users any of whose sums, dates, bookings, activity or merges differ between two generations.

    Reads all of both once. With live writing going on, users whose newest events only one of them has yet are among
    them.
    """
    sides = [_DIFFERING.format(one=side.format(schema=one), other=side.format(schema=other)) for side in _SIDES]
    found = await asyncio.gather(*(_differing(engine, one, statement) for statement in sides))
    return set().union(*found)


async def _differing(engine: AsyncEngine, schema: str, statement: str) -> set[UUID]:
    async with engine.connect() as connection:
        await enter_many(connection, schema)
        return set((await connection.execute(text(statement))).scalars())


async def describe(connection: AsyncConnection, schema: str, users: Collection[UUID]) -> dict[UUID, Described]:
    """Return what a generation says of these users, ready to be compared and shown."""
    await enter_few(connection, schema)
    totals = await totals_of(connection, users)
    prints = (await connection.execute(_FINGERPRINT, {"users": sorted(users)})).mappings()
    return {row["user_id"]: {**totals[row["user_id"]], **row} for row in prints}


async def describe_person(connection: AsyncConnection, schema: str, user: UUID) -> Described:
    """Return what a generation says of whom a user counts as."""
    canonical = (await describe(connection, schema, {user}))[user]["canonical"]
    return (await describe(connection, schema, {canonical}))[canonical]


async def differences(connection: AsyncConnection, one: str, other: str, users: Collection[UUID]) -> Differences:
    """Return those of these users that differ, with what both generations say."""
    left = await describe(connection, one, users)
    right = await describe(connection, other, users)
    return {user: (left[user], right[user]) for user in users if left[user] != right[user]}


async def keep(connection: AsyncConnection, rebuild_id: int, shown: Differences) -> None:
    """Record differences for the operator, instead of what was recorded before."""
    await connection.execute(_FORGET, {"id": rebuild_id})
    values = {
        "id": rebuild_id,
        "users": list(shown),
        "live": [_json(live) for live, _ in shown.values()],
        "rebuilt": [_json(rebuilt) for _, rebuilt in shown.values()],
    }
    await connection.execute(_KEEP, values)


async def confirm(connection: AsyncConnection, rebuilt: str, users: Collection[UUID]) -> Found:
    """Look at candidates one by one: who differs from the live generation in this transaction.

    The first ten thousand are looked at; the rest is taken to differ.
    """
    live = await generations.live(connection)
    ordered = sorted(users)
    shown: Differences = {}
    for start in range(0, min(len(ordered), MOST_SHOWN), _PAGE):
        page = ordered[start : min(start + _PAGE, MOST_SHOWN)]
        shown |= await differences(connection, live, rebuilt, page)
    return Found(shown, len(shown) + max(0, len(ordered) - MOST_SHOWN))


def _json(described: Described) -> str:
    return json.dumps({key: value for key, value in described.items() if key != "user_id"}, default=str)
