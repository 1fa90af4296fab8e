"""Install RabbitMQ when it is missing, if this user may; otherwise say what to do."""

import os
import shutil
import subprocess
from pathlib import Path

from local_stack.errors import ProgramMissing
from local_stack.rabbitmq_programs import installed

_DEBIAN_SCRIPT = Path(__file__).with_name("install_rabbitmq_debian.sh")
_INSTALL_SECONDS = 600.0
_WAY_OUT = (
    "Install it (Debian, Ubuntu: `sudo apt-get install rabbitmq-server`; macOS: `brew install rabbitmq`), "
    "or set AMQP_URL to a broker that is running, for example AMQP_URL=amqp://user:password@host:5672/ make up"
)


def ensure_rabbitmq() -> None:
    """Return when `rabbitmq-server` is there, installing it by apt or brew if need be.

    Raises `ProgramMissing` when there is no right or no way to install it. Never starts a broker, and leaves one
    that runs alone.
    """
    if not installed():
        _run(_install_command())


def _install_command() -> list[str]:
    if shutil.which("apt-get"):
        return [*_as_root(), "sh", str(_DEBIAN_SCRIPT)]
    if shutil.which("brew"):
        return ["brew", "install", "rabbitmq"]
    raise ProgramMissing(f"RabbitMQ is not installed, and this machine has neither apt nor brew. {_WAY_OUT}")


def _as_root() -> list[str]:
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n"]
    raise ProgramMissing(f"RabbitMQ is not installed, and installing it needs root. {_WAY_OUT}")


def _run(command: list[str]) -> None:
    try:
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_INSTALL_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise ProgramMissing(f"Installing RabbitMQ took over {_INSTALL_SECONDS:.0f} s. {_WAY_OUT}") from error
    if result.returncode or not installed():
        last_lines = "\n".join((result.stdout + result.stderr).splitlines()[-10:])
        raise ProgramMissing(f"RabbitMQ could not be installed. {_WAY_OUT}\n{last_lines}")
