"""The API between services: only who bears their shared token gets in."""

import hmac
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from shared.problems import documented
from shared.refusals import NoInternalToken, Unauthorized
from shared.settings import ServiceSettings

INTERNAL = "/internal"

_bearer = HTTPBearer(auto_error=False, description="INTERNAL_TOKEN, which the services share")


def internal_router(settings: ServiceSettings, *, tag: str) -> APIRouter:
    """Return a router under :data:`INTERNAL` that lets nobody in who does not bear the shared token."""
    return APIRouter(
        prefix=INTERNAL, tags=[tag], dependencies=[Depends(_require_token(settings))], responses=documented()
    )


def _require_token(settings: ServiceSettings) -> Callable[..., Coroutine[Any, Any, None]]:
    expected = settings.internal_token.get_secret_value().encode() if settings.internal_token else None

    async def check(given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> None:
        if expected is None:
            raise NoInternalToken
        if given is None or not hmac.compare_digest(given.credentials.encode(), expected):
            raise Unauthorized

    return check
