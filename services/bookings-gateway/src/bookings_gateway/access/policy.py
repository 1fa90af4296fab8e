"""The one table that says who may do what: the least role of every route of the admin API.

Viewers read; staff also write bookings, notes, communications and manual payments, and export; admins do the rest.
A route that is missing here keeps the application from starting.
"""

from collections.abc import Mapping

from bookings_gateway.access.actor import Role

PREFIX = "/api/admin"
LEGACY = f"{PREFIX}/bookings"  # refusals below it have the form {"error": …}
LOGIN = ("POST", f"{PREFIX}/login")  # the one route without a login
USERS = f"{PREFIX}/users"
USER = f"{USERS}/{{user_id}}"
USER_PARTS = ("/bookings", "/payments", "/activity", "/notes", "/communications")
PAYMENTS = f"{PREFIX}/payments"

POLICY: Mapping[tuple[str, str], Role] = {
    ("GET", f"{PREFIX}/session"): Role.VIEWER,
    ("POST", f"{PREFIX}/logout"): Role.VIEWER,
    ("GET", f"{PREFIX}/audit"): Role.ADMIN,
    ("GET", f"{PREFIX}/rollout"): Role.ADMIN,
    ("GET", f"{PREFIX}/migration"): Role.VIEWER,
    ("GET", f"{PREFIX}/migration/errors"): Role.VIEWER,
    ("GET", f"{PREFIX}/migration/errors/{{booking_id}}"): Role.VIEWER,
    ("POST", f"{PREFIX}/migration/errors/waive"): Role.ADMIN,
    ("POST", f"{PREFIX}/migration/errors/retry"): Role.ADMIN,
    ("POST", f"{PREFIX}/migration/errors/{{booking_id}}/fix"): Role.ADMIN,
    ("GET", LEGACY): Role.VIEWER,
    ("POST", LEGACY): Role.STAFF,
    ("GET", f"{LEGACY}/export"): Role.STAFF,
    ("GET", f"{LEGACY}/{{booking_id}}"): Role.VIEWER,
    ("PUT", f"{LEGACY}/{{booking_id}}"): Role.STAFF,
    ("DELETE", f"{LEGACY}/{{booking_id}}"): Role.ADMIN,
    ("GET", f"{PREFIX}/search"): Role.VIEWER,
    ("GET", USERS): Role.VIEWER,
    ("GET", f"{USERS}/export"): Role.STAFF,
    ("GET", f"{USERS}/duplicates"): Role.VIEWER,
    ("POST", f"{USERS}/duplicates/dismiss"): Role.STAFF,
    **dict.fromkeys((("GET", f"{USER}{part}") for part in ("", *USER_PARTS)), Role.VIEWER),
    **dict.fromkeys((("GET", f"{USER}/{decision}-preview") for decision in ("merge", "erase")), Role.VIEWER),
    ("PATCH", USER): Role.STAFF,
    ("POST", f"{USER}/notes"): Role.STAFF,
    ("POST", f"{USER}/communications"): Role.STAFF,
    **dict.fromkeys((("POST", f"{USER}/{decision}") for decision in ("merge", "unmerge", "erase")), Role.ADMIN),
    ("GET", PAYMENTS): Role.VIEWER,
    ("GET", f"{PAYMENTS}/export"): Role.STAFF,
    ("POST", f"{PAYMENTS}/manual"): Role.STAFF,
    ("GET", f"{PAYMENTS}/{{payment_id}}"): Role.VIEWER,
    ("POST", f"{PAYMENTS}/{{payment_id}}/refund"): Role.ADMIN,
}


def is_below(prefix: str, path: str) -> bool:
    """Whether a path is the prefix itself, or one below it."""
    return path == prefix or path.startswith(f"{prefix}/")
