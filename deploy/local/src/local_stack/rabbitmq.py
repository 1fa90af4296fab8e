"""A RabbitMQ node of our own, from the system's `rabbitmq-server`, with nothing shared with the system's broker.

Own name, data, cookie, ports and port mapper (epmd); no plugins; everything on loopback. Works with 3.10 to 4.x: all
settings used here have the same names in both, and a fresh node enables every feature flag it knows.
"""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import psutil

from local_stack.amqp import lets_in
from local_stack.errors import PartFailed
from local_stack.files import kept_secrets, write_private
from local_stack.ports import INNER_PORTS, LOOPBACK, answers, free_port, require_free
from local_stack.processes import ProcessRef, kill_all, spawn, stop_process, tail, with_children, working_in
from local_stack.rabbitmq_programs import RabbitPrograms, find_programs
from local_stack.waiting import wait_until

PORT_SETTING = "LOCAL_AMQP_PORT"
_PROGRAMS = ("beam.smp", "epmd", "inet_gethost")
_USER = "local"
_START_SECONDS = 60.0
_KEPT_SECONDS = 15.0
_STOP_SECONDS = 20.0
_EPMD_SECONDS = 5.0

_CONFIG = """\
listeners.tcp.local = {host}:{port}
default_user = {user}
default_pass = {password}
default_user_tags.administrator = true
log.file.level = info
log.console = false
vm_memory_high_watermark.relative = 0.4
disk_free_limit.absolute = 100MB
# The default of 512 MB is kept in memory until it is full: too much for a laptop, and slow to recover after a crash.
raft.wal_max_size_bytes = 67108864
"""


class LocalRabbit:
    """One node in `directory`, on 127.0.0.1:`port`.

    `directory` holds data, logs, cookie and password, and makes the node: two objects with one directory are one
    node, also across processes. Starting a running node and stopping a stopped one do nothing. Root and ordinary
    users can run it. Raises `ProgramMissing` when RabbitMQ is not installed (see `rabbitmq_install`).
    """

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory.resolve()
        self.port = port
        self.log = self.directory / "log" / "rabbitmq.log"
        self._output = self.directory / "log" / "startup.log"
        self._node_ref = self.directory / "node.pid.json"
        self._epmd_ref = self.directory / "epmd.pid.json"

    def start(self) -> None:
        """Start the node, creating it the first time; returns when a client can log in.

        Raises `PortBusy` when somebody else has the port and `PartFailed` when the node does not come up.
        """
        if self.running() and self.ready():
            return
        self.stop()
        require_free(self.port, wanted_by="RabbitMQ", setting=PORT_SETTING)
        programs = find_programs()
        self._write_configuration()
        ports = _NodePorts.choose()
        try:
            self._start_epmd(programs, ports)
            self._start_node(programs, ports)
        except BaseException:  # also an interrupt: who failed to start it will not stop it
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the node in order, then its port mapper. Leaves no process, also after a crash of either."""
        self._end(self._node_ref, seconds=_STOP_SECONDS)
        self._end(self._epmd_ref, seconds=_EPMD_SECONDS)
        kill_all(self._processes())

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """SIGKILL to the node, as a power cut would; `start` recovers. The port mapper goes with it."""
        kill_all(self._processes())

    def wait_until_kept(self, *queues: str) -> None:
        """Wait until the node would find these quorum queues of the default virtual host again after `kill`.

        A new queue's messages are on disk when they are confirmed, but the name of its files goes through a cache
        that is written out after three seconds (seen on 3.10). A node killed before that starts with an empty twin
        of the queue that never elects a leader. Call this before a kill that follows a declaration.
        """
        entries = [f"%2F_{queue}".encode() for queue in queues]
        if not wait_until(lambda: all(entry in self._queue_names() for entry in entries), seconds=_KEPT_SECONDS):
            raise PartFailed(f"RabbitMQ did not write the names of {', '.join(queues)} to disk.")

    def suspend(self) -> None:
        """SIGSTOP: connections stay open and nothing answers; heartbeats run out."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `suspend`."""
        self._signal(signal.SIGCONT)

    def running(self) -> bool:
        """Whether the node's process is there (it may be suspended or still starting)."""
        return self.pid() is not None

    def ready(self) -> bool:
        """Whether a client can log in now (up to some seconds when the node hangs)."""
        return answers(self.port) and lets_in(self.url)

    def pid(self) -> int | None:
        """The node's process, or None when it is down."""
        ref = ProcessRef.load(self._node_ref)
        return ref.pid if ref is not None and ref.alive() else None

    def pids(self) -> list[int]:
        """Every process of the node and its port mapper; empty when it is down."""
        return [process.pid for process in self._processes()]

    @property
    def url(self) -> str:
        """`amqp://…` of the default virtual host, with the node's own user."""
        return f"amqp://{_USER}:{self._password()}@{LOOPBACK}:{self.port}/"

    def create_password(self) -> None:
        """Make up the node's password now, if it has none: `url` is known before the first start then."""
        self._password()

    def _password(self) -> str:
        self.directory.mkdir(parents=True, exist_ok=True)
        return kept_secrets(self.directory / "passwords.json", [_USER])[_USER]

    def _write_configuration(self) -> None:
        for name in ("home", "data", "log"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        config = _CONFIG.format(host=LOOPBACK, port=self.port, user=_USER, password=self._password())
        write_private(self.directory / "rabbitmq.conf", config)
        (self.directory / "enabled_plugins").write_text("[].\n")
        (self.directory / "rabbitmq-env.conf").write_text("# Empty: the system's own must not apply here.\n")

    def _start_epmd(self, programs: RabbitPrograms, ports: "_NodePorts") -> None:
        """Ours and in the foreground, so that its pid is known; the node would start one that outlives it."""
        command = [str(programs.epmd), "-port", str(ports.epmd), "-address", LOOPBACK]
        epmd = spawn(command, env=self._environment(ports), log=self._output, cwd=self.directory)
        epmd.save(self._epmd_ref)
        if not wait_until(lambda: answers(ports.epmd) or not epmd.alive(), seconds=_EPMD_SECONDS):
            raise PartFailed(f"Erlang's port mapper did not start. The end of {self._output}:\n{tail(self._output)}")

    def _start_node(self, programs: RabbitPrograms, ports: "_NodePorts") -> None:
        node = spawn([str(programs.server)], env=self._environment(ports), log=self._output, cwd=self.directory)
        node.save(self._node_ref)
        wait_until(lambda: self.ready() or not node.alive(), seconds=_START_SECONDS)
        if not (node.alive() and self.ready()):
            raise PartFailed(f"RabbitMQ did not start. The end of {self._output}:\n{tail(self._output)}")

    def _environment(self, ports: "_NodePorts") -> dict[str, str]:
        foreign = ("RABBITMQ_", "ERL_", "NOTIFY_SOCKET")
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        return inherited | ports.environment() | self._node_environment()

    def _node_environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.directory / "home"),  # where Erlang keeps the cookie
            # `localhost` instead of the host's name, which need not resolve.
            "RABBITMQ_NODENAME": f"bookings-{self.port}@localhost",
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.directory / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(self.directory / "rabbitmq-env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "data"),
            "RABBITMQ_LOG_BASE": str(self.log.parent),
            "RABBITMQ_LOGS": str(self.log),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            # With the default `none` a scheduler sleeps after every step of the boot and is woken by a system call:
            # 8 s and 100,000 futex calls on two cores instead of 3 s. An idle node stays idle with `short`.
            "RABBITMQ_SCHEDULER_BUSY_WAIT_THRESHOLD": "short",
            # Makes the start script replace itself by the node, so that the pid we started is the node's.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def _end(self, path: Path, *, seconds: float) -> None:
        ref = ProcessRef.load(path)
        if ref is not None:
            stop_process(ref, number=signal.SIGTERM, seconds=seconds)
            path.unlink(missing_ok=True)

    def _processes(self) -> list[psutil.Process]:
        """Also those whose pid file was lost: a kill between start and note must not leave a node behind."""
        refs = filter(None, map(ProcessRef.load, (self._node_ref, self._epmd_ref)))
        noted = [process for ref in refs for process in ref.tree()]
        found = [member for p in working_in(self.directory, names=_PROGRAMS) for member in with_children(p)]
        return list(dict.fromkeys([*noted, *found]))

    def _queue_names(self) -> bytes:
        files = self.directory.glob("data/*/quorum/*/names.dets")
        return b"".join(file.read_bytes() for file in files)

    def _signal(self, number: signal.Signals) -> None:
        ref = ProcessRef.load(self._node_ref)
        if ref is not None:
            ref.signal(number)


@dataclass(frozen=True)
class _NodePorts:
    """Ports between Erlang processes, chosen anew at each start: nobody outside has to know them."""

    epmd: int
    distribution: int

    @classmethod
    def choose(cls) -> "_NodePorts":
        return cls(free_port(INNER_PORTS), free_port(INNER_PORTS))

    def environment(self) -> dict[str, str]:
        return {
            "ERL_EPMD_PORT": str(self.epmd),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "RABBITMQ_DIST_PORT": str(self.distribution),
        }
