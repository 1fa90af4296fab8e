"""Erase a person: everything personal goes, here at once, elsewhere by ``user.erased``; ids, dates and links stay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared import event_log
from shared.database import sqlstate
from shared.emails import normalise_email
from shared.forgotten_letters import forgetting_letters, naming
from users.domain import erasure_reason, identity_digest
from users.errors import BusyElsewhere, NotConfirmed
from users.service.audit import Decision, record, take_turn
from users.service.find_user import same_person
from users.service.forget import forget

_LOCK_NOT_AVAILABLE = "55P03"

# Waits for every group of bookings being applied and holds off the next ones (see observation.py): none of them can
# have looked before and write after. A backup reads the table for as long as it runs, and whoever waits for it makes
# every group wait: rather the erasure is asked for again.
_BRIEFLY = text("SET LOCAL lock_timeout = '2s'")
_PATIENTLY = text("SET LOCAL lock_timeout = 0")
_ALONE = text("LOCK TABLE erased_identity IN ACCESS EXCLUSIVE MODE")
# Beside everybody who counts as the person: placeholders their bookings had before there was an address.
_PEOPLE = text(
    """
    SELECT id, email, erased_at FROM users
    WHERE id = ANY(CAST(:ids AS uuid[])) OR identity IN (
        SELECT 'booking:' || booking_id FROM booking_link WHERE user_id = ANY(CAST(:ids AS uuid[])))
    ORDER BY identity
    FOR UPDATE
    """
)
_NOW = text("SELECT clock_timestamp()")
_REMEMBER = text(
    """
    INSERT INTO erased_identity (digest, erased_at, user_id)
    SELECT digest, :at, user_id FROM unnest(CAST(:digests AS bytea[]), CAST(:ids AS uuid[])) AS n (digest, user_id)
    """
)
_WRITTEN = text(
    """
    SELECT DISTINCT lower(email_written) FROM contact_variant
    WHERE user_id = ANY(CAST(:ids AS uuid[])) AND email_written IS NOT NULL
    """
)
# A dead letter is theirs if it is about a booking of theirs or has an address of theirs in it, whatever it is.
_DEAD_LETTERS = forgetting_letters(
    naming("SELECT FROM booking_link l WHERE l.booking_id = named.id AND l.user_id = ANY(CAST(:ids AS uuid[]))"),
    """
    EXISTS (SELECT FROM unnest(CAST(:addresses AS text[])) AS address
            WHERE strpos(lower(encode(body, 'escape')), encode(convert_to(address, 'UTF8'), 'escape')) > 0)
    """,
)
_COUNTS = text(
    """
    SELECT (SELECT count(*) FROM booking_link WHERE user_id = ANY(CAST(:ids AS uuid[]))) AS bookings_kept,
           (SELECT count(*) FROM contact_variant WHERE user_id = ANY(CAST(:ids AS uuid[]))) AS variants,
           (SELECT count(*) FROM note WHERE user_id = ANY(CAST(:ids AS uuid[]))) AS notes,
           (SELECT count(*) FROM communication WHERE user_id = ANY(CAST(:ids AS uuid[]))) AS communications
    """
)


@dataclass(frozen=True, slots=True)
class ErasePreview:
    """Who would be erased, and how much with them."""

    users: Sequence[UUID]
    emails: Sequence[str]
    counts: Mapping[str, int]


async def preview_erase(engine: AsyncEngine, user_id: UUID) -> ErasePreview:
    """Return what erasing would take away. Changes nothing. Raises ``NoSuchUser``."""
    async with engine.connect() as connection:
        people = await _people(connection, user_id)
        counts = (await connection.execute(_COUNTS, {"ids": [row["id"] for row in people]})).mappings().one()
        emails = [row["email"] for row in people if row["email"]]
        return ErasePreview([row["id"] for row in people], emails, dict(counts))


async def erase_user(
    engine: AsyncEngine, source: str, user_id: UUID, *, confirm: str, decision: Decision
) -> Sequence[UUID]:
    """Erase a user with everybody who counts as the same person and commit; return who that was.

    ``confirm`` is the user's id or an address of theirs. Of the reason a word is kept, never text. Erasing again
    changes nothing. Raises ``NoSuchUser``, :class:`NotConfirmed` or :class:`BusyElsewhere`.
    """
    async with engine.begin() as connection:
        await take_turn(connection)
        await _be_alone(connection)
        people = await _people(connection, user_id)
        present = [row for row in people if row["erased_at"] is None]
        if not present:
            return [row["id"] for row in people]
        if not _confirms(confirm, user_id, people):
            raise NotConfirmed
        await _erase(connection, source, present, decision)
    return [row["id"] for row in present]


async def _be_alone(connection: AsyncConnection) -> None:
    await connection.execute(_BRIEFLY)
    try:
        await connection.execute(_ALONE)
    except DBAPIError as error:
        if sqlstate(error) != _LOCK_NOT_AVAILABLE:
            raise
        raise BusyElsewhere from error
    await connection.execute(_PATIENTLY)


async def _people(connection: AsyncConnection, user_id: UUID) -> Sequence[RowMapping]:
    ids = await same_person(connection, user_id)
    return (await connection.execute(_PEOPLE, {"ids": ids})).mappings().all()


def _confirms(confirm: str, user_id: UUID, people: Sequence[RowMapping]) -> bool:
    known = {row["email"] for row in people if row["email"]}
    return normalise_email(confirm) in known or confirm.strip().lower() == str(user_id)


async def _erase(connection: AsyncConnection, source: str, people: Sequence[RowMapping], decision: Decision) -> None:
    ids = [row["id"] for row in people]
    at: datetime = (await connection.execute(_NOW)).scalar_one()
    digests = {row["id"]: identity_digest(row["email"]) for row in people if row["email"]}
    await connection.execute(_REMEMBER, {"at": at, "digests": list(digests.values()), "ids": list(digests)})
    written = (await connection.execute(_WRITTEN, {"ids": ids})).scalars()
    addresses = {*written, *(row["email"] for row in people if row["email"])}
    await connection.execute(_DEAD_LETTERS, {"ids": ids, "addresses": [each for each in addresses if "@" in each]})
    counts = (await connection.execute(_COUNTS, {"ids": ids})).mappings().one()
    news = await forget(connection, ids, at, digests)
    kept = replace(decision, reason=erasure_reason(decision.reason))
    for id_ in ids:
        await record(connection, kept, action="erase", user_id=id_, before={}, after=dict(counts))
    await event_log.append(connection, source, news)
