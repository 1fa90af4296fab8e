"""The identity behind an e-mail address, decided in one place for whoever links, predicts or checks people."""

import hashlib
import unicodedata

import idna

LONGEST_EMAIL = 320  # 64 before the @, 255 after: RFC 5321, 4.5.3.1


def normalise_email(written: str | None) -> str | None:
    """Return the identity behind an address as written, or ``None`` if it is no usable address.

    Trim, lower-case, NFC, IDNA for the domain, and nothing else: folding dots or plus tags would merge
    different mailboxes of most providers.
    """
    if written is None or len(written) > LONGEST_EMAIL:
        return None
    address = unicodedata.normalize("NFC", unicodedata.normalize("NFC", written).strip().lower())
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain or any(character.isspace() for character in address):
        return None
    ascii_domain = _ascii_domain(domain)
    return f"{local}@{ascii_domain}" if ascii_domain else None


def address_digest(email: str) -> bytes:
    """Return what a normalised address can be known again by, and not be read from."""
    return hashlib.sha256(email.encode()).digest()


def _ascii_domain(domain: str) -> str | None:
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        return None
