"""The e-mail addresses in what Stripe sends, wherever they stand. Pure."""

import re
from collections.abc import Iterator, Sequence

from shared.emails import address_digest, normalise_email

_ADDRESS = re.compile(r"[^\s\"'<>()\[\],;:]+@[^\s\"'<>()\[\],;:]+")
_MOST = 20  # an event tells of one payment; a list of addresses is somebody's text


def digests_in(value: object) -> list[bytes]:
    """Return the digests of the addresses in JSON, each once; of very many, the first."""
    found: dict[bytes, None] = {}
    for text in _texts(value):
        for written in _ADDRESS.findall(text):
            if email := normalise_email(written.rstrip(".")):
                found[address_digest(email)] = None
        if len(found) >= _MOST:
            break
    return list(found)[:_MOST]


def as_bytea(digests: Sequence[bytes]) -> list[str]:
    """Return digests as PostgreSQL reads them out of JSON."""
    return [f"\\x{digest.hex()}" for digest in digests]


def _texts(value: object) -> Iterator[str]:
    """Every string with an @ in it, however deep: without recursion, as a body may be nested more deeply than that."""
    left = [value]
    while left:
        each = left.pop()
        if isinstance(each, dict):
            left.extend(each.values())
        elif isinstance(each, list):
            left.extend(each)
        elif isinstance(each, str) and "@" in each:
            yield each
