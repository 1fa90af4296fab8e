"""Take erased people out of dead letters, which hold events as they came. The journal never held anything personal."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from stats.projector import enter_reading

# A letter is theirs that is about them, or about a booking of theirs. Where there are no letters nothing is looked for.
_FORGET = text(
    """
    UPDATE public.dead_letter d SET body = '', state = 'discarded',
        decided_at = coalesce(decided_at, now()), decided_by = coalesce(decided_by, 'erase')
    WHERE body <> '' AND EXISTS (
        SELECT FROM (
            SELECT f.user_id FROM booking_fact f WHERE f.booking_id = d.subject
            UNION ALL
            SELECT CAST(d.subject AS uuid) WHERE pg_input_is_valid(d.subject, 'uuid')
        ) owner
        JOIN activity a USING (user_id)
        WHERE a.kind = 'user.erased')
    """
)


async def forget_letters(engine: AsyncEngine) -> int:
    """Empty and discard the letters about erased people, and commit; return how many. Safe to repeat."""
    async with engine.begin() as connection:
        await enter_reading(connection)
        return (await connection.execute(_FORGET)).rowcount
