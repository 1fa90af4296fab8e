"""Run a program that insists on listening on all interfaces so that it listens on 127.0.0.1 alone.

`python -m local_stack.loopback_only <module> [arguments…]` runs that module in this process, which belongs to it:
nothing else of ours is loaded. Files it would write directly into /tmp, shared with every user of the machine, go to
the working directory instead.
"""

# ruff: noqa: ANN401  what stands in for a standard function takes whatever that takes

import builtins
import runpy
import socket
import sys
from pathlib import Path
from typing import Any

_EVERYWHERE = ("", "::", "0.0.0.0")  # noqa: S104  what is replaced, not what is used
_LOOPBACK = "127.0.0.1"
_SHARED = Path("/tmp")  # noqa: S108  what is replaced, not what is used


class _LoopbackSocket(socket.socket):
    """IPv4 only, since "::1" and "127.0.0.1" cannot be one listener, and never a wildcard address."""

    def __init__(self, family: int = -1, *arguments: Any, **options: Any) -> None:
        wanted = socket.AF_INET if family == socket.AF_INET6 else family
        super().__init__(wanted, *arguments, **options)

    def bind(self, address: Any) -> None:
        if isinstance(address, tuple) and address[0] in _EVERYWHERE:
            address = (_LOOPBACK, address[1])
        super().bind(address)


def main() -> None:
    """Run the module named by the first argument."""
    setattr(socket, "socket", _LoopbackSocket)  # noqa: B010  a type cannot be assigned to in the checker's eyes
    builtins.open = _open_own
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


_open = builtins.open


def _open_own(file: Any, *arguments: Any, **options: Any) -> Any:
    if isinstance(file, str) and Path(file).parent == _SHARED:
        file = Path(file).name
    return _open(file, *arguments, **options)


if __name__ == "__main__":
    main()
