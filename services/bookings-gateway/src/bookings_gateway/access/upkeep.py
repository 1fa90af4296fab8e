"""Removes sessions that ended and attempts that count no more, hour by hour. Any number of replicas may do it."""

import asyncio
from dataclasses import dataclass

import sqlalchemy.exc

from bookings_gateway.access import throttle
from bookings_gateway.access.sessions import Sessions
from shared.database import is_transient
from shared.service import Service

_EVERY_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The background work of access."""

    sessions: Sessions

    async def run(self, service: Service) -> None:
        """Work until cancelled. An absent database is waited for."""
        while True:
            try:
                async with service.engine.begin() as connection:
                    await self.sessions.forget(connection)
                    await throttle.forget(connection)
            except (OSError, sqlalchemy.exc.SQLAlchemyError) as error:
                if not is_transient(error):
                    raise
            await asyncio.sleep(_EVERY_SECONDS)
