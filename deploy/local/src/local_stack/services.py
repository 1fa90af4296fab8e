"""The four services: what they are called, where they listen, and the settings they get."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local_stack.ports import LOOPBACK

# Where `pip` put the services' commands: beside the interpreter that runs this.
COMMANDS = Path(sys.executable).parent


@dataclass(frozen=True)
class Service:
    """One service. Its command, its prefix in the environment and its database all derive from `name`."""

    name: str
    default_port: int

    @property
    def prefix(self) -> str:
        return self.name.replace("-", "_").upper()

    @property
    def database(self) -> str:
        return self.prefix.lower()

    @property
    def database_setting(self) -> str:
        return f"{self.prefix}_DATABASE_URL"

    @property
    def port_setting(self) -> str:
        return f"{self.prefix}_PORT"

    def port(self, environment: Mapping[str, str] = os.environ) -> int:
        """The port it listens on in this environment."""
        return int(environment.get(self.port_setting) or self.default_port)

    def url(self, environment: Mapping[str, str] = os.environ) -> str:
        """Where to reach it from this machine."""
        return f"http://{LOOPBACK}:{self.port(environment)}"


GATEWAY = Service("bookings-gateway", 8000)
PAYMENTS = Service("payments", 8001)
USERS = Service("users", 8002)
STATS = Service("stats", 8003)
SERVICES = (USERS, PAYMENTS, STATS, GATEWAY)
