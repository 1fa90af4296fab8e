"""The developer's own account at the admin API: made once, its password kept with the stack's other secrets."""

import json
import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from local_stack.coroutines import run_coroutine
from local_stack.errors import PartFailed
from local_stack.files import kept_secrets, write_private
from local_stack.services import GATEWAY

EMAIL = "admin@localhost"
_CONNECT_SECONDS = 10.0
_COMMAND_SECONDS = 60.0

_HAS_TABLE = "SELECT to_regclass('gateway.staff') IS NOT NULL"
_HAS_ACCOUNT = "SELECT EXISTS (SELECT FROM gateway.staff WHERE email = $1)"


@dataclass(frozen=True)
class Staff:
    """The account of one stack, which keeps everything in `directory`."""

    directory: Path

    @property
    def login(self) -> Path:
        """The body of the login request; it is there once the account is."""
        return self.directory / "login.json"

    def admit(self, environment: Mapping[str, str], *, commands: Path) -> None:
        """Have an account whose password we know; one that is there keeps its password. Raises `PartFailed`."""
        exists = run_coroutine(_has_account(environment[GATEWAY.database_setting]))
        if exists is None or (exists and self.login.exists()):
            return
        password = kept_secrets(self.directory / "secrets.json", ["staff_password"])["staff_password"]
        words = ["set-password", EMAIL] if exists else ["add", EMAIL, "--role", "admin", "--name", "developer"]
        _run([str(commands / GATEWAY.name), "staff", *words], environment, password)
        write_private(self.login, json.dumps({"email": EMAIL, "password": password}))
        write_private(self._cookies, "")  # curl keeps the rights of a file that is there

    def how_to_get_in(self, gateway: str) -> str:
        """What to type, in sentences; nothing while there is no account."""
        if not self.login.exists():
            return ""
        login, cookies = (shlex.quote(os.path.relpath(path)) for path in (self.login, self._cookies))
        return (
            f"Log in as {EMAIL}; the password is in {login}. For example:\n"
            f"  curl -sc {cookies} -H 'Content-Type: application/json' -d @{login} {gateway}/api/admin/login\n"
            f"  curl -sb {cookies} '{gateway}/api/admin/bookings?limit=3'"
        )

    @property
    def _cookies(self) -> Path:
        return self.directory / "cookies"


async def _has_account(url: str) -> bool | None:
    """None when the gateway has no table for accounts."""
    connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS)
    try:
        if not await connection.fetchval(_HAS_TABLE):
            return None
        return bool(await connection.fetchval(_HAS_ACCOUNT, EMAIL))
    finally:
        await connection.close()


def _run(command: list[str], environment: Mapping[str, str], password: str) -> None:
    result = subprocess.run(
        command, env=dict(environment), input=password, capture_output=True, text=True, timeout=_COMMAND_SECONDS
    )
    if result.returncode:
        raise PartFailed(f"`{' '.join(command[1:])}` failed:\n{(result.stdout + result.stderr).strip()}")
