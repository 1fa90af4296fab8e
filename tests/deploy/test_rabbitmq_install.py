"""Installing RabbitMQ changes nothing on the machine but that it is installed."""

import os
import subprocess
from pathlib import Path

import pytest

from local_stack import rabbitmq_install
from local_stack.errors import ProgramMissing

SCRIPT = Path(rabbitmq_install.__file__).with_name("install_rabbitmq_debian.sh")
ASK_POLICY = 'for unit in rabbitmq-server epmd.socket nginx; do "$POLICY_RC_D" $unit start; echo "$unit $?"; done'


def _program(directory: Path, name: str, body: str) -> None:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def _install(directory: Path, *, running: str = "init", policy_before: str | None = None) -> list[str]:
    """Run the script with an apt-get that asks for permission to start services, as packages do; its answers."""
    programs, policy = directory / "bin", directory / "policy-rc.d"
    _program(programs, "apt-get", f'[ "$1" = update ] || {{ {ASK_POLICY}; }}')
    _program(programs, "ps", f"echo {running}")
    _program(programs, "systemctl", ":")
    if policy_before is not None:
        _program(directory, policy.name, policy_before)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "POLICY_RC_D": str(policy)}
    result = subprocess.run(["sh", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    assert policy.exists() == (policy_before is not None)
    return result.stdout.splitlines()


def test_neither_the_broker_nor_its_port_mapper_may_start(tmp_path: Path) -> None:
    assert _install(tmp_path) == ["rabbitmq-server 101", "epmd.socket 101", "nginx 0"]


def test_a_port_mapper_that_others_use_may_be_restarted(tmp_path: Path) -> None:
    assert _install(tmp_path, running="epmd") == ["rabbitmq-server 101", "epmd.socket 0", "nginx 0"]


def test_the_machines_own_policy_holds_meanwhile_and_is_back_afterwards(tmp_path: Path) -> None:
    assert _install(tmp_path, policy_before="exit 104") == ["rabbitmq-server 101", "epmd.socket 101", "nginx 104"]
    assert "exit 104" in (tmp_path / "policy-rc.d").read_text()


def test_without_the_right_to_install_a_sentence_names_both_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(tmp_path, "apt-get", "exit 1")
    _program(tmp_path, "sudo", "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(rabbitmq_install, "installed", lambda: False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ProgramMissing, match=r"needs root.*apt-get install rabbitmq-server.*AMQP_URL="):
        rabbitmq_install.ensure_rabbitmq()
    (tmp_path / "apt-get").unlink()
    with pytest.raises(ProgramMissing, match="neither apt nor brew"):
        rabbitmq_install.ensure_rabbitmq()
