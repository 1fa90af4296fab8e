"""`<service> migrate` for all services at once."""

import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from local_stack.errors import PartFailed, ProgramMissing
from local_stack.services import Service

_MIGRATE_SECONDS = 120.0


def migrate_all(services: Sequence[Service], environment: Mapping[str, str], *, commands: Path) -> None:
    """Bring every service's database up to date; they are independent, so all run at the same time.

    Raises `PartFailed` with the output of the first that fails.
    """
    with ThreadPoolExecutor(max_workers=len(services)) as threads:
        for result in [threads.submit(_migrate, commands / service.name, environment) for service in services]:
            result.result()


def _migrate(command: Path, environment: Mapping[str, str]) -> None:
    if not command.exists():
        raise ProgramMissing(f"The command {command.name} is not installed: run `make install`.")
    try:
        result = subprocess.run(
            [command, "migrate"],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_MIGRATE_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise PartFailed(f"`{command.name} migrate` did not end within {_MIGRATE_SECONDS:.0f} s.") from error
    if result.returncode:
        raise PartFailed(f"`{command.name} migrate` failed:\n{(result.stdout + result.stderr).strip()}")
