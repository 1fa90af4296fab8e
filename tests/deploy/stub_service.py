"""Stands in for a service's command: `migrate` succeeds, `serve` answers the health check on the service's port."""

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Ready(BaseHTTPRequestHandler):
    """200 to everything."""

    def do_GET(self) -> None:
        """Answer as a service that is ready."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serve(prefix: str) -> None:
    """Listen on the port of `<PREFIX>_PORT` until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.stdout.write(f"serving with {os.environ[f'{prefix}_DATABASE_URL'].split('@')[1]}\n")
    HTTPServer(("127.0.0.1", int(os.environ[f"{prefix}_PORT"])), Ready).serve_forever()


if __name__ == "__main__":
    name, command = sys.argv[1:3]
    if os.environ.get("STUB_FAILS") == f"{name} {command}":
        sys.exit(f"{name} cannot {command}: the stars are wrong")
    with Path(os.environ["STUB_CALLS"]).open("a") as calls:
        calls.write(f"{name} {command}\n")
    if command == "serve":
        serve(name.replace("-", "_").upper())
