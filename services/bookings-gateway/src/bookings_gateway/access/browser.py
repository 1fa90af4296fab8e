"""What a browser is trusted with: the cookie, and which pages may write in its session."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.responses import Response

from bookings_gateway.access.errors import ForgedRequest
from bookings_gateway.access.secrets import csrf_token

CSRF_HEADER = "X-CSRF-Token"
_COOKIE = "staff_session"


@dataclass(frozen=True, slots=True)
class Browser:
    """``origins`` are those of the admin frontend's pages; with none, the gateway's own. ``secure``: HTTPS only."""

    origins: frozenset[str]
    secure: bool

    @property
    def cookie(self) -> str:
        """The cookie's name. With the prefix, no other host of the domain can plant one (RFC 6265bis, 4.1.3)."""
        return f"__Host-{_COOKIE}" if self.secure else _COOKIE

    def give(self, response: Response, session_id: str) -> None:
        """Hand the session to the browser, for as long as that is open; the database knows when it ends."""
        response.set_cookie(self.cookie, session_id, path="/", secure=self.secure, httponly=True, samesite="lax")

    def take_back(self, response: Response) -> None:
        """Have the browser forget the session."""
        response.delete_cookie(self.cookie, path="/", secure=self.secure, httponly=True, samesite="lax")

    def require_own_page(self, headers: Mapping[str, str]) -> None:
        """Raise :class:`ForgedRequest` when a page of somebody else's sends this. Programs send no origin at all."""
        origin = headers.get("origin")
        if origin is None or origin in self.origins:
            return
        if self.origins or _host(origin) != headers.get("host"):
            raise ForgedRequest("This origin may not do this here.")

    def require_csrf_token(self, headers: Mapping[str, str], session_id: str) -> None:
        """Raise :class:`ForgedRequest` unless the page proves that it may read what login answered."""
        given = headers.get(CSRF_HEADER, "").encode()
        if not hmac.compare_digest(given, csrf_token(session_id).encode()):
            raise ForgedRequest(f"A write needs the header {CSRF_HEADER}, as login or GET /api/admin/session gave it.")


def _host(origin: str) -> str | None:
    """Return host and port of an origin; ``None`` of what is no origin."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None
