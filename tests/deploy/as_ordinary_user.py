"""Start and stop both servers without root's rights. Everything is imported before they are given up."""

import encodings.idna  # noqa: F401  sockets load it at their first use
import os
import sys
from pathlib import Path

import asyncpg.connect_utils  # noqa: F401  imported while it can be read

from local_stack.account import Account
from local_stack.ports import free_port
from local_stack.postgres import LocalPostgres
from local_stack.rabbitmq import LocalRabbit


def give_up_root() -> None:
    """Become `nobody` for good when this is root."""
    account = Account.for_servers_that_refuse_root()
    if account is not None:
        os.setgroups([])
        os.setgid(account.gid)
        os.setuid(account.uid)


if __name__ == "__main__":
    give_up_root()
    directory = Path(sys.argv[1])
    os.environ["HOME"] = str(directory)
    postgres = LocalPostgres(directory / "postgres", free_port(), fsync=False)
    rabbit = LocalRabbit(directory / "rabbitmq", free_port())
    for name, server in (("PostgreSQL", postgres), ("RabbitMQ", rabbit)):
        server.start()
        assert server.ready()
        server.stop()
        assert server.pids() == []
        sys.stdout.write(f"{name}\n")
