"""`localstripe`, a fake Stripe, as a process of its own on loopback.

It is never imported: it is another program (GPL) that we start and talk to over HTTP.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx

from local_stack.errors import PartFailed
from local_stack.ports import LOOPBACK, answers, require_free
from local_stack.processes import ProcessRef, spawn, stop_process, tail
from local_stack.waiting import wait_until

PORT_SETTING = "LOCAL_STRIPE_PORT"
_START_SECONDS = 20.0
_STOP_SECONDS = 5.0


class LocalStripe:
    """One fake Stripe on 127.0.0.1:`port`, empty at every start. Its log is `directory`/localstripe.log.

    Start and stop may be repeated. It forgets objects and webhooks when it stops.
    """

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory.resolve()
        self.port = port
        self.api_base = f"http://{LOOPBACK}:{port}"
        self.log = self.directory / "localstripe.log"
        self._ref = self.directory / "localstripe.pid.json"

    def start(self) -> None:
        """Start it; returns when it answers. Raises `PortBusy` or `PartFailed`."""
        if self.ready():
            return
        self.stop()
        self.directory.mkdir(parents=True, exist_ok=True)
        require_free(self.port, wanted_by="localstripe", setting=PORT_SETTING)
        process = spawn(self._command(), env=os.environ, log=self.log, cwd=self.directory)
        process.save(self._ref)
        wait_until(lambda: self.ready() or not process.alive(), seconds=_START_SECONDS)
        if not self.ready():
            self.stop()
            raise PartFailed(f"localstripe did not start. The end of {self.log}:\n{tail(self.log)}")

    def stop(self) -> None:
        """Stop it. Leaves no process."""
        ref = ProcessRef.load(self._ref)
        if ref is not None:
            stop_process(ref, number=signal.SIGTERM, seconds=_STOP_SECONDS)
            self._ref.unlink(missing_ok=True)

    def ready(self) -> bool:
        """Whether it answers."""
        return self.pid() is not None and answers(self.port)

    def pid(self) -> int | None:
        """Its process, or None when it is down."""
        ref = ProcessRef.load(self._ref)
        return ref.pid if ref is not None and ref.alive() else None

    def register_webhook(self, url: str, *, secret: str, events: Sequence[str] | None = None) -> None:
        """Have events (of these types, or all) posted to `url`, signed with `secret`; replaces the one before."""
        body: dict[str, object] = {"url": url, "secret": secret}
        if events is not None:
            body["events"] = list(events)
        with _client() as client:
            client.post(f"{self.api_base}/_config/webhooks/bookings", json=body).raise_for_status()

    def forget_everything(self) -> None:
        """Delete all its objects; the webhook stays."""
        with _client() as client:
            client.delete(f"{self.api_base}/_config/data").raise_for_status()

    def _command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "local_stack.loopback_only", "localstripe"),
            *("--port", str(self.port), "--from-scratch"),
        ]


def _client() -> httpx.Client:
    return httpx.Client(trust_env=False)  # a proxy of the environment is not for loopback
