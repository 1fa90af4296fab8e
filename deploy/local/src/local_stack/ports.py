"""TCP ports on loopback: which are free, and who has the others."""

import random
import socket

import psutil

from local_stack.errors import PortBusy
from local_stack.waiting import wait_until

LOOPBACK = "127.0.0.1"
# Below the range from which Linux and macOS take the local ends of outgoing connections. A listener in that range
# loses its port now and then to some client that happens to be connected when it restarts.
SERVER_PORTS = range(27_000, 32_000)
# For what nobody outside has to know: apart from the others, which may be chosen long before they are bound.
INNER_PORTS = range(20_000, 25_000)
_RELEASE_SECONDS = 2.0
_chosen: set[int] = set()


def free_port(candidates: range = SERVER_PORTS) -> int:
    """A loopback port nobody listens on now, never the same twice; it stays free while its taker restarts."""
    for port in random.sample(candidates, len(candidates)):
        if port not in _chosen and is_free(port):
            _chosen.add(port)
            return port
    raise PortBusy(f"No free port between {candidates.start} and {candidates.stop} on {LOOPBACK}.")


def is_free(port: int) -> bool:
    """Whether a server could bind `port` on loopback now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # What every server sets: without it a port whose last owner was killed counts as busy for a minute.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Whether somebody accepts TCP connections on `port`."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False


def require_free(port: int, *, wanted_by: str, setting: str) -> None:
    """Raise `PortBusy`, naming the port, its present user if that can be known, and `setting` to change it."""
    # A killed server's port is released only when the last of its threads is gone, a moment after its death.
    if wait_until(lambda: is_free(port), seconds=_RELEASE_SECONDS):
        return
    raise PortBusy(
        f"Port {port} for {wanted_by} is already in use{_by_whom(port)}. "
        f"Stop that program, or choose another port: {setting}=<port> make up"
    )


def listener(port: int) -> psutil.Process | None:
    """The process listening on `port`, when this user may know it."""
    for process in psutil.process_iter():
        try:
            connections = process.net_connections("tcp")
        except psutil.Error:  # gone meanwhile, or another user's
            continue
        if any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections):
            return process
    return None


def _by_whom(port: int) -> str:
    process = listener(port)
    if process is None:
        return " by a program of another user"
    try:
        return f" by {process.name()} (process {process.pid})"
    except psutil.Error:
        return ""
