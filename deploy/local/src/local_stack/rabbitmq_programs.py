"""Where RabbitMQ and Erlang's port mapper are installed."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from local_stack.errors import ProgramMissing

# The start scripts themselves. The `rabbitmq-server` on Debian's PATH is a wrapper that insists on the account
# `rabbitmq` and the system's directories.
_SERVERS = (
    Path("/usr/lib/rabbitmq/bin/rabbitmq-server"),
    Path("/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server"),
    Path("/usr/local/opt/rabbitmq/sbin/rabbitmq-server"),
    Path("/opt/rabbitmq/sbin/rabbitmq-server"),
)
_WRAPPERS = (Path("/usr/sbin"), Path("/sbin"))
_EPMD_PLACES = ("/usr/lib/erlang/bin", "/opt/homebrew/opt/erlang/lib/erlang/bin", "/usr/local/lib/erlang/bin")


@dataclass(frozen=True)
class RabbitPrograms:
    """The two programs a node needs."""

    server: Path
    epmd: Path


def find_programs() -> RabbitPrograms:
    """The installed programs; raises `ProgramMissing` when one is not there."""
    server, epmd = _server(), _epmd()
    if server is None or epmd is None:
        raise ProgramMissing(
            "RabbitMQ is not installed on this machine. Install it (Debian: `apt install rabbitmq-server`; "
            "macOS: `brew install rabbitmq`), or set AMQP_URL to a broker that is running."
        )
    return RabbitPrograms(server, epmd)


def installed() -> bool:
    """Whether both programs are there."""
    return _server() is not None and _epmd() is not None


def _server() -> Path | None:
    for path in _SERVERS:
        if os.access(path, os.X_OK):
            return path
    found = shutil.which("rabbitmq-server")
    return Path(found) if found and Path(found).parent not in _WRAPPERS else None


def _epmd() -> Path | None:
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), *_EPMD_PLACES])
    found = shutil.which("epmd", path=search)
    return Path(found) if found else None
