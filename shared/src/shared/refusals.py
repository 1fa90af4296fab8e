"""Requests that are not done, as exceptions: each says why, with the status and the facts of the answer."""

from collections.abc import Mapping
from types import MappingProxyType


class Refusal(Exception):
    """A request that is not done; its text is the answer's ``detail``, its facts stand beside it."""

    status = 409
    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(self, detail: str, **facts: object) -> None:
        super().__init__(detail)
        self.facts = facts


class Unauthorized(Refusal):
    """No bearer token, or another."""

    status = 401

    def __init__(self) -> None:
        super().__init__("This needs `Authorization: Bearer …` with the token the services share.")


class NoInternalToken(Refusal):
    """Nobody may call: there is no token to compare with."""

    status = 503

    def __init__(self) -> None:
        super().__init__("The internal API is closed: INTERNAL_TOKEN is not set.")


class UnusableCursor(Refusal):
    """A page's cursor that no earlier page gave."""

    status = 422

    def __init__(self) -> None:
        super().__init__("This cursor is not one of ours: take `next` of the page before.")
