"""Passwords, hashed by Argon2id: slow on purpose, off the event loop, and few at a time."""

import asyncio
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from argon2.profiles import RFC_9106_LOW_MEMORY

SHORTEST = 12
LONGEST = 200  # characters
_AT_ONCE = 2  # 64 MiB each

# RFC 9106, section 4, the second recommended option: 3 passes over 64 MiB, 4 lanes.
_HASHER = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
_turns = asyncio.Semaphore(_AT_ONCE)
# Compared with when there is no account, so that it takes as long as when there is one. No password has this hash.
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$c29tZSBzYWx0IG9mIG5vYm9keQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


async def hash_password(password: str) -> str:
    """Return the hash to store."""
    async with _turns:
        return await asyncio.to_thread(_HASHER.hash, _normalised(password))


async def verify_password(password: str, stored: str | None) -> bool:
    """Say whether it is the password of ``stored``; no account (``None``) takes the same work and is never right."""
    async with _turns:
        return await asyncio.to_thread(_verify, _normalised(password), stored or _NOBODY)


def needs_rehash(stored: str) -> bool:
    """Say whether the hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(stored)


def _verify(password: str, stored: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (VerifyMismatchError, InvalidHashError):
        return False


def _normalised(password: str) -> str:
    """The same letters typed on another keyboard are the same password (RFC 8265)."""
    return unicodedata.normalize("NFC", password)
