"""Link each booking to the person of the version that decides."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts import BookingLinkSnapshot
from shared.event_log import NewEvent
from users.service.observation import Observation

# One statement decides under the row's lock, so two replicas with versions of one booking agree in any order: a
# version of lower rank than the stored one changes nothing. A booking moved if the version now stored is the mover.
_LINK = text(
    """
    INSERT INTO booking_link AS l (booking_id, user_id, addressed, booking_sequence, moved_by, sequence)
    SELECT booking_id, user_id, addressed, booking_sequence, booking_sequence, 1
    FROM unnest(
        CAST(:bookings AS text[]), CAST(:users AS uuid[]), CAST(:addressed AS boolean[]), CAST(:sequences AS bigint[])
    ) AS n (booking_id, user_id, addressed, booking_sequence)
    ORDER BY booking_id
    ON CONFLICT (booking_id) DO UPDATE SET
        user_id = excluded.user_id,
        addressed = excluded.addressed,
        booking_sequence = excluded.booking_sequence,
        moved_by = CASE WHEN l.user_id = excluded.user_id THEN l.moved_by ELSE excluded.booking_sequence END,
        sequence = l.sequence + CAST(l.user_id <> excluded.user_id AS integer)
    WHERE (excluded.addressed, excluded.booking_sequence) > (l.addressed, l.booking_sequence)
    RETURNING booking_id, user_id, sequence, moved_by = booking_sequence AS moved
    """
)


async def link_bookings(
    connection: AsyncConnection, observations: Sequence[Observation], users: Mapping[str, UUID]
) -> list[NewEvent]:
    """Link bookings to people, ``users`` by identity; return what to announce. The caller commits."""
    deciding: dict[str, Observation] = {}
    for observation in observations:
        known = deciding.get(observation.booking_id)
        if known is None or observation.rank > known.rank:
            deciding[observation.booking_id] = observation
    rows = await connection.execute(
        _LINK,
        {
            "bookings": list(deciding),
            "users": [users[observation.identity] for observation in deciding.values()],
            "addressed": [observation.addressed for observation in deciding.values()],
            "sequences": [observation.booking_sequence for observation in deciding.values()],
        },
    )
    return [_event(row.user_id, row.sequence, deciding[row.booking_id]) for row in rows if row.moved]


def _event(user_id: UUID, sequence: int, cause: Observation) -> NewEvent:
    return NewEvent(
        type="user.booking_linked",
        subject=cause.booking_id,
        sequence=sequence,
        time=cause.seen_at,
        data=BookingLinkSnapshot(booking_id=cause.booking_id, user_id=str(user_id)),
        traceparent=cause.traceparent,
    )
