"""The demo's move of the history: backed up, rehearsed, imported, verified, reported, by the operator's commands."""

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from local_stack.errors import PartFailed
from local_stack.postgres import installation
from local_stack.services import COMMANDS, GATEWAY
from local_stack.settings import needs_postgres
from local_stack.stack import Stack

_SECONDS = 120.0
_BY = "demo"


def move_history(stack: Stack, console: Console) -> None:
    """Move what stands in the legacy table across and show what came of it; nothing when that was done before.

    Raises `PartFailed` with what a command printed when it fails.
    """
    desk = _Desk(stack)
    if json.loads(desk.runs("status", "--json"))["state"] != "new":
        return
    if needs_postgres(stack.user_environment):  # making databases for a test of a restore is not the service's right
        desk.runs("backup", "--directory", str(desk.files), as_admin=True)
        manifest = max(desk.files.glob("bookings-*.json"))
        rehearsal = json.loads(desk.runs("rehearse", str(manifest), as_admin=True))
        _say(console, f"backed up, restored and compared; {rehearsal['taken_back']:,} moved there and back on a copy")
    predicted = json.loads(desk.runs("import", "--json"))
    with console.status("moving the history across"):
        done = json.loads(desk.runs("import", "--apply", "--json", "--by", _BY, last_object=True))
        desk.runs("errors", "waive", "--code", "created_in_future", "--reason", "a sample's typing error", "--by", _BY)
        verified = json.loads(desk.runs("verify", "--wait", "60", "--json"))
    _show(console, predicted, done, verified)
    report = desk.runs("report", "--directory", str(desk.files), "--by", _BY, code=None).strip()
    _say(console, f"signed report: {report}")


class _Desk:
    """Where the operator's commands are typed."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.files = stack.directory / "history"

    def runs(self, *words: str, code: int | None = 0, as_admin: bool = False, last_object: bool = False) -> str:
        """Return what `bookings-gateway history …` printed; `last_object` leaves out lines of progress before it."""
        result = subprocess.run(
            [COMMANDS / GATEWAY.name, "history", *words],
            env=self._environment(as_admin=as_admin),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
        if code is not None and result.returncode != code:
            raise PartFailed(f"`history {' '.join(words)}` failed:\n{(result.stdout + result.stderr).strip()}")
        return result.stdout[result.stdout.index("{") :] if last_object else result.stdout

    def _environment(self, *, as_admin: bool) -> Mapping[str, str]:
        environment = {**self._stack.user_environment, **self._stack.settings(), "COLUMNS": "200"}
        if as_admin:
            environment[GATEWAY.database_setting] = self._stack.postgres.admin_url(GATEWAY.database)
            environment["PATH"] = f"{installation() / 'bin'}{os.pathsep}{environment.get('PATH', '')}"
        return environment


def _say(console: Console, sentence: str) -> None:
    console.print(f"[green]✓[/] {sentence}", soft_wrap=True)


def _show(console: Console, predicted: dict[str, Any], done: dict[str, Any], verified: dict[str, Any]) -> None:
    exact = all(predicted[name] == done[name] for name in done)
    foretold = "predicted every count" if exact else "erred"
    _say(console, f"{done['total']:,} bookings moved across; the dry run had {foretold}")
    contacts = ", ".join(f"{rows} {kind}" for kind, rows in done["contacts"].items())
    _say(console, f"{predicted['users']:,} users out of them, {done['placeholders']} placeholders: {contacts}")
    classes = ", ".join(f"{rows} {kind}" for kind, rows in done["classes"].items())
    _say(console, f"payments by evidence: {classes}")
    failed = [check for check in verified["checks"] if not check["passed"]]
    for check in verified["checks"]:
        mark = "[green]✓[/]" if check["passed"] else "[red]✗[/]"
        console.print(f"  {mark} {check['name']:8} {check['claim']}: {check['actual']}", soft_wrap=True)
    if failed:
        raise PartFailed(f"The verification found differences: {json.dumps(failed)}")
