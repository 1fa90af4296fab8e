"""Processes by identity: a pid counts only together with the moment its process started.

A pid file outlives its process, and the kernel gives the number to somebody else. Everything here that signals a
process checks first that it is still the one that was started.
"""

import atexit
import json
import os
import signal
import subprocess
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from local_stack.account import Account, popen_options
from local_stack.files import write_private
from local_stack.waiting import wait_until

# A process keeps its number of seconds after boot however the wall clock is set; two processes never share pid and
# second of birth, but the readings differ by rounding.
_SAME_START_SECONDS = 2.0

# Children of this very process, kept until reaped: a dropped handle would leave a zombie behind.
_started: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class ProcessRef:
    """One process that was started, and never another one that got its number later."""

    pid: int
    started_after_boot: float

    @classmethod
    def of(cls, pid: int) -> "ProcessRef":
        """Identify the process running now as `pid`; raises `psutil.NoSuchProcess` when there is none."""
        return cls(pid, _seconds_after_boot(psutil.Process(pid)))

    @classmethod
    def load(cls, path: Path) -> "ProcessRef | None":
        """Read what `save` wrote; None when there is no such file or a crash left half of one."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def save(self, path: Path) -> None:
        """Write this identity to `path`, replacing what is there at once."""
        write_private(path, json.dumps(asdict(self)))

    def process(self) -> psutil.Process | None:
        """The process itself, or None when it has ended (an unreaped zombie has ended too)."""
        _reap(self.pid)
        try:
            process = psutil.Process(self.pid)
            same = abs(_seconds_after_boot(process) - self.started_after_boot) < _SAME_START_SECONDS
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None

    def alive(self) -> bool:
        """Whether it still runs (a stopped process runs)."""
        return self.process() is not None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the process has ended."""
        process = self.process()
        if process is not None:
            _send(process, number)

    def tree(self) -> list[psutil.Process]:
        """The process and everything it started, itself first; empty when it has ended."""
        process = self.process()
        return [] if process is None else with_children(process)


def spawn(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    log: Path,
    cwd: Path | None = None,
    account: Account | None = None,
) -> ProcessRef:
    """Start a program whose output is appended to `log`, and return at once.

    It gets a session of its own, so that a Ctrl-C in the terminal never reaches it, and outlives this process.
    """
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **popen_options(account),
        )
    _started[child.pid] = child
    return ProcessRef.of(child.pid)


def stop_process(ref: ProcessRef, *, number: signal.Signals, seconds: float) -> None:
    """Ask with `number`; whatever is left of the process and its children after `seconds` is killed."""
    tree = ref.tree()
    ref.signal(signal.SIGCONT)  # a suspended process would not hear `number`
    ref.signal(number)
    wait_until(lambda: not ref.alive(), seconds=seconds)
    kill_all(tree)


def end_all(processes: Iterable[psutil.Process], *, seconds: float) -> None:
    """SIGTERM to all of them at once; SIGKILL to those still there after `seconds`."""
    targets = list(processes)
    for process in targets:
        _send(process, signal.SIGTERM)
    wait_until(lambda: not any(runs(p) for p in targets), seconds=seconds)
    kill_all(targets)


def kill_all(processes: Iterable[psutil.Process], *, seconds: float = 10) -> None:
    """SIGKILL every one of `processes` that still runs, and wait until they are gone."""
    targets = list(processes)
    for process in targets:
        _send(process, signal.SIGKILL)
    wait_until(lambda: not any(runs(p) for p in targets), seconds=seconds)


def runs(process: psutil.Process) -> bool:
    """Whether `process` is there and more than a zombie waiting for its parent."""
    _reap(process.pid)
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def working_in(directory: Path, *, names: Container[str]) -> list[psutil.Process]:
    """Every running program of one of `names` whose working directory is `directory`.

    This finds the processes of a server even when its parent and its pid file are gone.
    """
    return [p for p in psutil.process_iter() if _works_in(p, directory, names)]


def with_children(process: psutil.Process) -> list[psutil.Process]:
    """The process and everything it started, itself first."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return [process]


def works_in(pid: int, directory: Path, *, names: Container[str]) -> bool:
    """Whether `pid` is one of `working_in`."""
    try:
        return _works_in(psutil.Process(pid), directory, names)
    except psutil.NoSuchProcess:
        return False


def carrying(variables: Mapping[str, str]) -> list[psutil.Process]:
    """Every other running process with these variables in its environment: started with them, or by such a one."""
    return [p for p in psutil.process_iter() if p.pid != os.getpid() and _carries(p, variables)]


def tail(log: Path, *, lines: int = 15) -> str:
    """The last lines of a log, or a remark that there are none."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:]) or "(the log is empty)"


def _works_in(process: psutil.Process, directory: Path, names: Container[str]) -> bool:
    try:
        return process.name() in names and runs(process) and Path(process.cwd()) == directory
    except (psutil.Error, OSError):  # gone meanwhile, or another user's
        return False


def _carries(process: psutil.Process, variables: Mapping[str, str]) -> bool:
    try:
        environment = process.environ()
    except (psutil.Error, OSError):
        return False
    return variables.items() <= environment.items() and runs(process)


def _reap(pid: int) -> None:
    child = _started.get(pid)
    if child is not None and child.poll() is not None:
        del _started[pid]


@atexit.register
def _reap_all() -> None:
    """Leave no child that has ended to the interpreter's end, which would take it for one that still runs."""
    for pid in list(_started):
        _reap(pid)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _seconds_after_boot(process: psutil.Process) -> float:
    return process.create_time() - psutil.boot_time()
