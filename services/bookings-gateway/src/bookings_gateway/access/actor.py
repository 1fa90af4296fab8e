"""Who is asking. The guard puts the actor on the request; a route takes it by ``Depends(current_actor)``."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from fastapi import Request


class Role(StrEnum):
    """What somebody may do; each role may do all that the ones before it may."""

    VIEWER = "viewer"
    STAFF = "staff"
    ADMIN = "admin"

    def includes(self, least: "Role") -> bool:
        """Say whether this role is ``least`` or above. (``<`` and ``>`` would compare the words.)"""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(least)


@dataclass(frozen=True, slots=True)
class Actor:
    """A member of staff, or a program with a token: ``id`` is the account's or the token's."""

    id: UUID
    name: str
    role: Role


async def current_actor(request: Request) -> Actor:
    """Return who makes this request; only routes behind the guard have an actor.

    Async, for a plain function FastAPI would hand to a thread, and every request wait for one.
    """
    actor: Actor = request.state.actor
    return actor
