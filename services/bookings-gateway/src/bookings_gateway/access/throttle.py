"""How often somebody may try to log in: per account and per address, each further attempt after twice the wait.

An attempt is counted before the password is looked at, under the row's lock, so many at once get no further than one
after the other, in whatever process. Who got in from an address before has a counter of their own there: whoever
hammers the account from elsewhere does not keep them out. Every wait ends; what rests for an hour is forgotten.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bookings_gateway.access.errors import TooManyAttempts

# The row is only written when it is free: of two at once the second waits for the first, and sees what it wrote. The
# clock, not the transaction's start: that would be from before the wait.
# Waits are 1, 2, 4 … seconds, beginning with the attempt after the free ones.
_TAKE = text(
    """
    INSERT INTO login_throttle AS t (key, attempts, last_at, free_at)
    VALUES (:key, 1, clock_timestamp(), clock_timestamp())
    ON CONFLICT (key) DO UPDATE SET (attempts, last_at, free_at) = (
        SELECT n, clock_timestamp(), clock_timestamp() + make_interval(
            secs => CASE WHEN n < :free THEN 0 ELSE least(:longest, power(2, least(n - :free, 20))) END
        )
        FROM (SELECT CASE WHEN t.last_at < now() - interval '1 hour' THEN 1 ELSE t.attempts + 1 END) AS counted (n)
    )
    WHERE t.free_at <= clock_timestamp()
    RETURNING attempts
    """
)
_WAIT = text("SELECT extract(epoch FROM free_at - clock_timestamp()) FROM login_throttle WHERE key = :key")
_IS_KNOWN = text("SELECT EXISTS (SELECT FROM login_throttle WHERE key = :key)")
_GIVE_BACK = text("UPDATE login_throttle SET attempts = attempts - 1, free_at = now() WHERE key = :key")
_CLEAR = text("DELETE FROM login_throttle WHERE key = :key")
_KNOW = text(
    """
    INSERT INTO login_throttle (key, attempts, last_at, free_at) VALUES (:key, 0, now(), now())
    ON CONFLICT (key) DO UPDATE SET attempts = 0, last_at = now(), free_at = now()
    """
)
_FORGET = text(
    """
    DELETE FROM login_throttle
    WHERE last_at < now() - CASE WHEN key LIKE 'known:%' THEN interval '90 days' ELSE interval '1 day' END
    """
)


@dataclass(frozen=True, slots=True)
class Limit:
    """So many attempts are free; later waits are at most so many seconds."""

    free: int
    longest: int


ADDRESS = Limit(free=20, longest=900)
ACCOUNT = Limit(free=5, longest=300)


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that was counted: by which keys."""

    address: str
    account: str
    known: str


async def take(engine: AsyncEngine, *, email: str, address: str) -> Attempt:
    """Count an attempt, and commit that; raises :class:`TooManyAttempts`. A refused attempt is not counted at all."""
    attempt = _attempt(email, address)
    async with engine.begin() as connection:
        await _count(connection, attempt.address, ADDRESS)
        if (await connection.execute(_IS_KNOWN, {"key": attempt.known})).scalar_one():
            attempt = Attempt(attempt.address, attempt.known, attempt.known)
        await _count(connection, attempt.account, ACCOUNT)
    return attempt


async def forgive(connection: AsyncConnection, attempt: Attempt) -> None:
    """Take back an attempt that succeeded, and know the address from now on; the caller commits.

    Rows are locked in the order of :func:`take`, so that two can wait for each other only in one direction.
    """
    await connection.execute(_GIVE_BACK, {"key": attempt.address})
    if attempt.account != attempt.known:
        await connection.execute(_CLEAR, {"key": attempt.account})
    await connection.execute(_KNOW, {"key": attempt.known})


async def forget(connection: AsyncConnection) -> None:
    """Remove what counts no more. The caller commits."""
    await connection.execute(_FORGET)


async def _count(connection: AsyncConnection, key: str, limit: Limit) -> None:
    values = {"key": key, "free": limit.free, "longest": limit.longest}
    if (await connection.execute(_TAKE, values)).one_or_none() is None:
        wait = (await connection.execute(_WAIT, {"key": key})).scalar_one_or_none() or 0
        raise TooManyAttempts(max(1, math.ceil(wait)))


def _attempt(email: str, address: str) -> Attempt:
    network = _network(address)
    return Attempt(_key("address", network), _key("account", email), _key("known", email, network))


def _key(kind: str, *parts: str) -> str:
    return f"{kind}:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"


def _network(address: str) -> str:
    """One household or machine has a whole /64 of IPv6 addresses."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, IPv4Address) or ip.ipv4_mapped:
        return address
    return str(IPv6Address(int(ip) >> 64 << 64))
