"""The alert rules name metrics, and values of their labels, that the services really tell."""

import re
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
import yaml

import bookings_gateway.main
import payments.main
import stats.main
import users.main

FILE = Path(__file__).parents[2] / "deploy/prometheus/history-alerts.yml"
SERVICES = (bookings_gateway.main, payments.main, stats.main, users.main)  # whose metrics are told once they run
SELECTED = re.compile(r"(?P<metric>[a-z_]+)\{(?P<labels>[^}]*)\}")
NOT_METRICS = re.compile(r"\{[^}]*\}|\[[^]]*\]|\bby \([^)]*\)|\b(sum|max|increase|delta|and)\b")


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]]


def told() -> dict[str, set[str]]:
    """Names of samples the services tell, with the outcomes they tell from the start."""
    names: dict[str, set[str]] = {}
    for family in prometheus_client.REGISTRY.collect():
        endings = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(family.type, [""])
        for ending in endings:
            names[family.name + ending] = {sample.labels.get("outcome", "") for sample in family.samples}
    return names


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_rule_is_about_what_is_told(rule: dict[str, Any]) -> None:
    metrics = set(re.findall(r"[a-z_]+", NOT_METRICS.sub(" ", rule["expr"])))

    assert metrics
    assert metrics <= told().keys()
    assert {"summary", "action"} <= rule["annotations"].keys()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_outcomes_a_rule_asks_for_are_told_from_the_start(rule: dict[str, Any]) -> None:
    for selected in SELECTED.finditer(rule["expr"]):
        for pattern in re.findall(r'outcome=~?"([^"]+)"', selected["labels"]):
            assert set(pattern.split("|")) <= told()[selected["metric"]]


def test_a_move_that_waits_or_stands_and_payments_that_do_not_come_have_a_rule() -> None:
    assert {rule["alert"] for rule in rules()} >= {
        *("HistoryImportStalled", "HistoryImportWaits", "HistoryImportStopped", "HistoryNotSettling", "HistoryDrift"),
        *("HistoryRowsSetAside", "FailedWebhooks", "StripeEventsFailed", "WebhookSignaturesRefused", "DeadLetters"),
    }
