"""PostgreSQL's client programs, run so that nobody else on the machine learns what they are given."""

import asyncio
import os
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from bookings_gateway.history.errors import HistoryError

_PRIVATE = 0o077


class BackupFailed(HistoryError):
    """The dump could not be made, restored, or is not what was dumped."""


async def run(name: str, *options: str, url: str | None = None) -> str:
    """Run a program on a database and return what it printed; what it writes is for this user alone.

    The password goes by the environment: a command line is for everybody to read. Raises :class:`BackupFailed`.
    """
    database, password = _without_password(url) if url else (None, None)
    process = await asyncio.create_subprocess_exec(
        _found(name),
        *([f"--dbname={database}"] if database else []),
        *options,
        env={**os.environ, **({"PGPASSWORD": password} if password else {})},
        umask=_PRIVATE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    if process.returncode:
        raise BackupFailed(f"{name} failed: {errors.decode(errors='replace').strip()[:500]}")
    return output.decode()


def _without_password(url: str) -> tuple[str, str | None]:
    parts = urlsplit(url)
    if parts.password is None:
        return url, None
    who, _, where = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{who.partition(':')[0]}@{where}")), unquote(parts.password)


def _found(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise BackupFailed(f"{name} is not on the PATH; install PostgreSQL's client programs, of the server's version.")
    return str(Path(found))
