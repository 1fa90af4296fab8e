"""Take erased people out of dead letters, which hold events as they came. The journal never held anything personal."""

from sqlalchemy.ext.asyncio import AsyncEngine

from shared.forgotten_letters import forgetting_letters, naming
from stats.projector import enter_reading

# About them, or about a booking of theirs. Where there are no letters nothing is looked for.
_FORGET = forgetting_letters(
    naming(
        """
        SELECT FROM (
            SELECT f.user_id FROM booking_fact f WHERE f.booking_id = named.id
            UNION ALL
            SELECT CAST(named.id AS uuid) WHERE pg_input_is_valid(named.id, 'uuid')
        ) owner
        JOIN activity a USING (user_id)
        WHERE a.kind = 'user.erased'
        """
    ),
    table="public.dead_letter",
)


async def forget_letters(engine: AsyncEngine) -> int:
    """Empty and discard the letters about erased people, and commit; return how many. Safe to repeat."""
    async with engine.begin() as connection:
        await enter_reading(connection)
        return (await connection.execute(_FORGET)).rowcount
