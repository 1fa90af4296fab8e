"""What is switched on for whom. Without somebody to ask for, without a readable file, on any error: off."""

import asyncio
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

import structlog
from fastapi import Request
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from bookings_gateway.access.actor import Actor
from bookings_gateway.rollout.provider import UNREADABLE, FileProvider
from shared.database import is_transient
from shared.refusals import Refusal
from shared.service import Service

log = structlog.get_logger(__name__)

SHIPPED = Path(__file__).parent / "flags.json"
_LOOK_EVERY_SECONDS = 0.5
_MOST_REMEMBERED = 1000
_REMEMBERED_SECONDS = 1.0  # what a flag says may depend on the time

# Replicas that saw the same change at once take turns, and the second finds it written down.
_LOCK = text("SELECT pg_advisory_xact_lock(7301955104)")
_INSERT = text(
    """
    INSERT INTO rollout_event (flag, before, after)
    SELECT CAST(:flag AS text), newest.after, CAST(:after AS text)
    FROM (SELECT (SELECT after FROM rollout_event WHERE flag = :flag ORDER BY id DESC LIMIT 1) AS after) newest
    WHERE newest.after IS DISTINCT FROM CAST(:after AS text)
    """
)


class Flag(StrEnum):
    """What can be switched; the names are those in the file."""

    ENRICHMENT = "legacy-enrichment"
    NEW_ENDPOINTS = "new-endpoints"
    SHADOW = "shadow-comparison"


class NotThere(Refusal):
    """The endpoint is not switched on for whoever asks, and for them it is not there."""

    status = 404

    def __init__(self) -> None:
        super().__init__("Not Found")


class Flags:
    """The flags of one file. :meth:`run` keeps them fresh; a flip is in force within a second."""

    def __init__(self, path: Path) -> None:
        self._provider = FileProvider(path)
        domain = f"bookings-gateway-{id(self)}"
        api.set_provider(self._provider, domain)
        self._client = api.get_client(domain)
        self._answers: dict[tuple[Flag, Actor], bool] = {}
        self._until = 0.0
        self._due: Mapping[str, str] = {}
        self.reload()

    @property
    def error(self) -> str | None:
        """Why the file has no flags, if it has none."""
        return self._provider.error

    def is_on(self, flag: Flag, actor: Actor | None) -> bool:
        """Say whether the flag is on for this actor: by the role, and by a share of ids, as the file says."""
        if actor is None:
            return False
        key, now = (flag, actor), time.monotonic()
        if now >= self._until or len(self._answers) >= _MOST_REMEMBERED:
            self._answers.clear()
            self._until = now + _REMEMBERED_SECONDS
        if key not in self._answers:
            context = EvaluationContext(str(actor.id), {"role": str(actor.role)})
            self._answers[key] = self._client.get_boolean_value(flag, False, context)  # noqa: FBT003 - the default
        return self._answers[key]

    async def require_new_endpoints(self, request: Request) -> None:
        """Raise :class:`NotThere` unless new endpoints are on for whoever asks; a dependency of their routers."""
        if not self.is_on(Flag.NEW_ENDPOINTS, getattr(request.state, "actor", None)):
            raise NotThere

    def reload(self) -> None:
        """Take over what the file says now."""
        said = self._provider.reload()
        if said is not None:
            self._answers.clear()
            self._due = {flag: said.get(flag, UNREADABLE if self.error else "absent") for flag in Flag}
            if self.error:
                log.error("flag_file_unreadable")

    async def record(self, engine: AsyncEngine) -> None:
        """Write down each flag that changed since it was last written down, by whichever replica is first."""
        if not self._due:
            return
        due = self._due
        async with engine.begin() as connection:
            await connection.execute(_LOCK)
            for flag, after in due.items():
                await connection.execute(_INSERT, {"flag": flag, "after": after})
        if self._due is due:
            self._due = {}

    async def run(self, service: Service) -> None:
        """Watch until cancelled."""
        await self.watch(service.engine)

    async def watch(self, engine: AsyncEngine) -> None:
        """Look at the file twice a second until cancelled. An absent database is waited for, the flags are not."""
        while True:
            self.reload()
            try:
                await self.record(engine)
            except Exception as error:
                if not is_transient(error):
                    raise
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
