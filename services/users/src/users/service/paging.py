"""Pages cut by their rows, so that new ones never shift a later page: a cursor is the last row's sort key."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping

from shared.refusals import UnusableCursor


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, and the cursor of the next page, if there is one."""

    rows: Sequence[RowMapping]
    next: str | None


def page_of(rows: Sequence[RowMapping], limit: int, *key: str) -> Page:
    """Return the page of ``limit + 1`` rows that were read; ``key`` are the columns they are sorted by."""
    more = len(rows) > limit
    return Page(rows[:limit], encode(*(str(rows[limit - 1][name]) for name in key)) if more else None)


def encode(*parts: str) -> str:
    """Return the cursor of a sort key."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


def decode(cursor: str, length: int) -> list[str]:
    """Return the sort key of a cursor, in ``length`` parts; raises ``UnusableCursor``."""
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor))
    except ValueError:
        raise UnusableCursor from None
    if not isinstance(parts, list) or len(parts) != length or not all(isinstance(part, str) for part in parts):
        raise UnusableCursor
    return parts


def moment_and_id(cursor: str | None) -> tuple[datetime | None, UUID | None]:
    """Read a cursor of (time, id); raises ``UnusableCursor``."""
    if cursor is None:
        return None, None
    moment, id_ = decode(cursor, 2)
    try:
        time = datetime.fromisoformat(moment)
        if time.tzinfo is None or not 1900 < time.year < 9999:
            raise UnusableCursor
        return time, UUID(id_)
    except ValueError:
        raise UnusableCursor from None
