"""A runbook's commands can be typed: each names a command there is, with options it has."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from bookings_gateway import cli as gateway
from payments import cli as payments
from stats import cli as stats
from users import cli as users

RUNBOOKS = Path(__file__).parents[2] / "deploy" / "runbooks"
PROGRAMS = {
    "bookings-gateway": gateway.app,
    "payments": payments.app,
    "stats": stats.app,
    "users": users.app,
}
_SPAN = re.compile(r"`([^`\n]+)`")
_FENCE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(text: str) -> Iterator[str]:
    """What a reader would type: the lines of code blocks, and spans that begin with a program or a group of one."""
    for block in _FENCE.findall(text):
        yield from block.splitlines()
    for span in _SPAN.findall(_FENCE.sub("", text)):
        words = span.split()
        if len(words) > 1 and (words[0] in PROGRAMS or words[0] == "history"):
            yield span


def words_of(line: str) -> list[str]:
    words = shlex.split(line, comments=True)
    if words[:3] == ["docker", "compose", "exec"]:
        words = words[4:]
    return ["bookings-gateway", *words] if words[:1] == ["history"] else words


def typed(runbook: Path) -> list[list[str]]:
    found = (words_of(line.replace("…", "")) for line in commands(runbook.read_text()))
    return [words for words in found if len(words) > 1 and words[0] in PROGRAMS]


def unknown(words: list[str]) -> str | None:
    """Return what nobody could type of these words."""
    command: Any = get_command(PROGRAMS[words[0]])
    rest = words[1:]
    while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
        if rest[0] not in command.commands:
            return f"there is no command {rest[0]!r} in {' '.join(words)!r}"
        command, rest = command.commands[rest[0]], rest[1:]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    strange = [word for word in rest if word.startswith("--") and word.partition("=")[0].rstrip("]") not in known]
    return f"there is no option {strange[0]} of {' '.join(words)!r}" if strange else None


@pytest.mark.parametrize("runbook", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_every_command_of_a_runbook_can_be_typed(runbook: Path) -> None:
    lines = typed(runbook)

    assert len(lines) > 5
    assert [problem for words in lines if (problem := unknown(words))] == []
