"""The bulk lane in a process of its own, so that no request and no live event waits for what an import computes.

It is forked before anything runs: imports, connections and the event loop are its own business from there on. A socket
joins the two. The child says every other second how it does and what it counted; the end of the socket says that the
other one is gone. Then the child ends too, and the parent runs the bulk lane itself until it is started anew: nothing
is restarted here that whoever runs services restarts better.
"""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
import uvloop
from prometheus_client import REGISTRY, Metric
from prometheus_client.samples import Sample

from shared import tracing
from shared.service import Service

log = structlog.get_logger(__name__)

_NICE = 10  # what is live comes first where processors are scarce
_REPORT_SECONDS = 2.0
_TROUBLED_SECONDS = 0.25  # at start, too, somebody waits for it to get better
_SILENT_SECONDS = 15.0
_STOP_SECONDS = 15.0
_LARGEST_REPORT = 2**20

_Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(slots=True)
class BulkProcess:
    """The parent's side. ``trouble`` is what the child last said is wrong, ``counted`` what it counted so far."""

    service: Service
    pid: int
    socket: socket.socket
    trouble: str | None = "it has not started"
    counted: Mapping[_Key, float] = field(default_factory=dict)
    _heard: float = 0.0
    _is_ours: bool = False

    async def run(self) -> None:
        """Listen until cancelled, and end the child then; when it is gone, take over its lane."""
        reader, writer = await asyncio.open_connection(sock=self.socket, limit=_LARGEST_REPORT)
        self._heard = asyncio.get_running_loop().time()
        try:
            await self._listen(reader)
            await self._end(reader)
            self._take_over()
            await asyncio.Event().wait()
        finally:
            if not self._is_ours:  # else it was ended before, and its number may be somebody else's
                await self._end(reader)
            writer.close()

    async def health(self) -> str | None:
        """Return what is wrong with the bulk lane, or ``None``."""
        silent = asyncio.get_running_loop().time() - self._heard
        if not self._is_ours and silent > _SILENT_SECONDS:
            return f"the process of the bulk lane has said nothing for {silent:.0f} s"
        return self.trouble

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of both processes as one: what the child counted is added."""
        left = dict(self.counted)
        for family in REGISTRY.collect():
            samples = [_plus(sample, left.pop(_key(sample), 0.0)) for sample in family.samples]
            names = {family.name, *(f"{family.name}{suffix}" for suffix in _COUNTED)}
            samples += [Sample(name, dict(labels), value) for (name, labels), value in left.items() if name in names]
            family.samples = samples
            yield family

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Return when the child has nothing more to say, or says what nobody understands."""
        with suppress(ConnectionError, ValueError):
            while line := await reader.readline():
                report = json.loads(line)
                self.trouble = report["trouble"]
                self.counted = {(name, tuple(map(tuple, labels))): value for name, labels, value in report["counted"]}
                self._heard = asyncio.get_running_loop().time()

    def _take_over(self) -> None:
        log.error("bulk_process_gone", pid=self.pid)
        self._is_ours, self.trouble = True, None
        self.service.take_over(self.service.bulk)

    async def _end(self, reader: asyncio.StreamReader) -> None:
        """Ask the child to stop, wait for the end of what it says, and end it if that does not come."""
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await reader.read()
        except (TimeoutError, ConnectionError):
            self._signal(signal.SIGKILL)
        self._reap()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)


_COUNTED = ("_total", "_bucket", "_sum", "_count")


def _key(sample: Sample) -> _Key:
    return sample.name, tuple(sorted(sample.labels.items()))


def _plus(sample: Sample, more: float) -> Sample:
    return sample._replace(value=sample.value + more) if more else sample


def fork_bulk_lane(service: Service) -> None:
    """Leave the bulk lane to a process of its own, started here; ``service`` must not run yet."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _become_bulk_lane(service, theirs)
    theirs.close()
    service.leave_bulk_to(BulkProcess(service, pid, ours))


def _become_bulk_lane(service: Service, parent: socket.socket) -> None:
    """Run the bulk lane until told to stop or left alone; never returns."""
    status = 1
    try:
        os.nice(_NICE)
        tracing.configure(service.name)
        service.take_lanes(service.bulk)
        uvloop.run(_run_bulk_lane(service, parent))
        status = 0
    except BaseException:  # this is where a process ends: nothing above may go on in it
        log.exception("bulk_process_failed")
    finally:
        os._exit(status)


async def _run_bulk_lane(service: Service, parent: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(sock=parent)
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    left_alone = asyncio.create_task(reader.read())
    left_alone.add_done_callback(lambda _: told.set())
    async with service.running():
        service.tasks.start("report", lambda: _report(service, writer))
        await told.wait()


async def _report(service: Service, writer: asyncio.StreamWriter) -> None:
    """Say how the lane does, as long as somebody listens: a parent that froze is not waited for."""
    while True:
        trouble = await service.trouble()
        if not writer.transport.get_write_buffer_size():
            writer.write(json.dumps({"trouble": trouble, "counted": _counted()}).encode() + b"\n")
        await asyncio.sleep(_TROUBLED_SECONDS if trouble else _REPORT_SECONDS)


def _counted() -> list[tuple[str, tuple[tuple[str, str], ...], float]]:
    """What this process counted and observed; its gauges are measured by the parent."""
    return [
        (*_key(sample), sample.value)
        for family in REGISTRY.collect()
        if family.type in {"counter", "histogram"} and not family.name.startswith(("python_", "process_"))
        for sample in family.samples
        if sample.value and sample.name.endswith(_COUNTED)
    ]
