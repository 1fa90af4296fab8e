"""Writes that another service does: who asks for what is in the audit before it is asked, what came of it after.

So a write that times out, or outlives this process, is never without its author: its line says ``unknown``.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.access import audit
from bookings_gateway.access.actor import Actor
from bookings_gateway.access.audit import Outcome, Values
from bookings_gateway.errors import Declined, PartNotReached


@dataclass(slots=True, kw_only=True)
class AskedWrite:
    """What the audit says of it; what the service's answer adds to ``after`` is put here before the block ends.

    ``before`` is what the read model showed of it: as old as that.
    """

    action: str
    entity: str
    before: Values | None = None
    after: Values | None = None


@asynccontextmanager
async def asked_write(engine: AsyncEngine, actor: Actor, write: AskedWrite) -> AsyncIterator[AskedWrite]:
    """Have another service write within this block. Commits the intent before it and the outcome after.

    The block came to its end: done. The service declined, or was never reached: refused. Whatever else happens leaves
    it unknown.
    """
    async with engine.begin() as connection:
        id_ = await audit.record(
            connection,
            actor,
            action=write.action,
            entity=write.entity,
            before=write.before,
            after=write.after,
            outcome=Outcome.UNKNOWN,
        )
    try:
        yield write
    except (Declined, PartNotReached):
        await _settle(engine, id_, Outcome.REFUSED, write)
        raise
    await _settle(engine, id_, Outcome.DONE, write)


async def _settle(engine: AsyncEngine, id_: int, outcome: Outcome, write: AskedWrite) -> None:
    async with engine.begin() as connection:
        await audit.settle(connection, id_, outcome, entity=write.entity, before=write.before, after=write.after)
