"""Take erased people out of dead letters that came after the erasure: an event may be on its way for hours.

Those that were there before are the erasure's own business (erase_user.py).
"""

import asyncio
import re
from collections.abc import Mapping
from datetime import datetime

import sqlalchemy.exc
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.contracts import BookingSnapshot, read
from shared.database import describe, is_transient
from shared.emails import normalise_email
from shared.errors import PermanentError
from shared.events import Event, Undecodable, decode
from shared.forgotten_letters import forgetting_letters, naming
from users.domain import Erasure, erased_owner, identity_digest

log = structlog.get_logger(__name__)

_ROUND_SECONDS = 5.0
_PAGE = 500

_OF_LINKED = forgetting_letters(
    naming(
        """
        SELECT FROM booking_link l JOIN users u ON u.id = l.user_id AND u.erased_at IS NOT NULL
        WHERE l.booking_id = named.id
        """
    )
)
_NEXT = text("SELECT id, body, content_type FROM dead_letter WHERE id > :after AND body <> '' ORDER BY id LIMIT :page")
_ERASURES = text("SELECT digest, user_id, erased_at FROM erased_identity WHERE digest = ANY(CAST(:digests AS bytea[]))")
_EMPTY = forgetting_letters("id = ANY(CAST(:ids AS bigint[]))")
_ADDRESS = re.compile(r"[^\s\"<>\\,;:]+@[^\s\"<>\\,;:]+")


async def look_for_letters(engine: AsyncEngine) -> None:
    """Look again and again, until cancelled; a database that is away is only waited for."""
    after = 0
    while True:
        try:
            after = await forget_letters(engine, after)
        except (OSError, sqlalchemy.exc.SQLAlchemyError) as error:
            if not is_transient(error):
                raise
            log.warning("letters_not_looked_for", error=describe(error))
        await asyncio.sleep(_ROUND_SECONDS)


async def forget_letters(engine: AsyncEngine, after: int = 0) -> int:
    """Empty and discard letters about erased people and commit; return the newest id that was looked at.

    Letters about bookings that are an erased person's are found whenever they came, those with an address of theirs
    after the id ``after``.
    """
    async with engine.begin() as connection:
        await connection.execute(_OF_LINKED)
        theirs: list[int] = []
        page = (await connection.execute(_NEXT, {"after": after, "page": _PAGE})).all()
        while page:
            theirs += await _addressed(connection, {row.id: _booked(row.body, row.content_type) for row in page})
            after = page[-1].id
            page = (await connection.execute(_NEXT, {"after": after, "page": _PAGE})).all()
        if theirs:
            await connection.execute(_EMPTY, {"ids": theirs})
    return after


async def _addressed(connection: AsyncConnection, letters: Mapping[int, Mapping[bytes, datetime | None]]) -> list[int]:
    digests = {digest for booked in letters.values() for digest in booked}
    erasures = (await connection.execute(_ERASURES, {"digests": list(digests)})).all() if digests else []
    by_digest: dict[bytes, list[Erasure]] = {}
    for row in erasures:
        by_digest.setdefault(row.digest, []).append(Erasure(row.user_id, row.erased_at))
    return [
        id_
        for id_, booked in letters.items()
        if any(erased_owner(at, by_digest.get(digest, ())) for digest, at in booked.items())
    ]


def _booked(body: bytes, content_type: str | None) -> dict[bytes, datetime | None]:
    """Return the addresses in a letter, as digests, with when they booked, if it is told."""
    written = [said for item in decode(body, content_type) for said in _addresses(item).items()]
    return {identity_digest(email): at for each, at in written if (email := normalise_email(each))}


def _addresses(item: Event | Undecodable) -> dict[str, datetime | None]:
    """Return whose a booking is. What tells of no booking we can read is of whoever is in its text, at no time."""
    if isinstance(item, Event) and (booking := _booking(item)):
        return {booking.contact.email or "": booking.created_at}
    body = item.encode() if isinstance(item, Event) else item.body
    return dict.fromkeys(_ADDRESS.findall(body.decode(errors="replace")))


def _booking(event: Event) -> BookingSnapshot | None:
    try:
        told = read(event)
    except PermanentError:
        return None
    return told if isinstance(told, BookingSnapshot) else None
