"""Random words that let somebody in. The database knows their hashes alone, so a copy of it opens nothing."""

import base64
import hashlib
import secrets

_BYTES = 32  # 256 bits cannot be guessed, so a plain hash is enough: there is nothing to try out


def new_secret() -> str:
    """Return a new session id or the random part of a token."""
    return secrets.token_urlsafe(_BYTES)


def hashed(secret: str) -> bytes:
    """Return what is stored of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def csrf_token(session_id: str) -> str:
    """Return the session's CSRF token: who has it cannot find the session id, who lacks the id cannot make it."""
    digest = hashlib.sha256(b"csrf\0" + session_id.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
