"""The four services under honcho, in the background."""

import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from local_stack.processes import ProcessRef, carrying, end_all, spawn, stop_process
from local_stack.services import Service

_MARK = "LOCAL_STACK_DIRECTORY"
_STOP_SECONDS = 10.0


class Supervisor:
    """honcho running `procfile` with the programs in `commands`, and what they print in `log`.

    Every process of it carries `directory` in its environment, so that `stop` finds the services even when honcho and
    its pid file are gone.
    """

    def __init__(self, directory: Path, *, procfile: Path, commands: Path, log: Path) -> None:
        self.log = log
        self._commands = commands
        self._directory = directory
        self._procfile = procfile
        self._ref = directory / "services.pid.json"

    def start(self, settings: Mapping[str, str]) -> None:
        """Start all services; returns at once. The log of the run before is kept as `….1`."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_name(f"{self.log.name}.1"))
        spawn(self._command(), env=self._environment(settings), log=self.log).save(self._ref)

    def stop(self) -> None:
        """Stop the services in order, then whatever a crash left of them. Leaves no process."""
        ref = ProcessRef.load(self._ref)
        if ref is not None:
            stop_process(ref, number=signal.SIGTERM, seconds=_STOP_SECONDS)
            self._ref.unlink(missing_ok=True)
        end_all(self._processes(), seconds=_STOP_SECONDS)

    def pid(self) -> int | None:
        """honcho's process, or None when it is down."""
        ref = ProcessRef.load(self._ref)
        return ref.pid if ref is not None and ref.alive() else None

    def service_pid(self, service: Service) -> int | None:
        """The service's own process, or None when it is down."""
        name = f"{service.name}.1"
        pids = [p.pid for p in self._processes(HONCHO_PROCESS_NAME=name)]
        return min(pids, default=None)

    def first_to_stop(self) -> str | None:
        """The name of the service that ended first; honcho ends the others because of it."""
        stopped = re.search(r"^\S+ system +\| (\S+)\.1 stopped", self._text(), re.MULTILINE)
        return stopped.group(1) if stopped else None

    def last_lines(self, service: Service, *, lines: int = 20) -> str:
        """What the service printed last."""
        own = re.compile(rf"^\S+ {re.escape(service.name)}\.1 *\| ")
        found = [line for line in self._text().splitlines() if own.match(line)]
        return "\n".join(own.sub("", line) for line in found[-lines:]) or "(it printed nothing)"

    def _text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _processes(self, **also: str) -> list[psutil.Process]:
        return carrying({_MARK: str(self._directory), **also})

    def _command(self) -> list[str]:
        # `--env` names a file that never exists: honcho would read a `.env` beside the Procfile.
        return [
            *(sys.executable, "-m", "honcho", "--no-colour", "--env", str(self._directory / "no.env")),
            *("--procfile", str(self._procfile), "start"),
        ]

    def _environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        return {
            **settings,
            _MARK: str(self._directory),
            "LOCAL_STACK_BIN": str(self._commands),
            "PYTHONUNBUFFERED": "1",
        }
