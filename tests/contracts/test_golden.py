"""Contracts are additive only: a golden file per type and version fails the build on any other change.

After adding an optional field: ``UPDATE_GOLDEN=1 make test`` rewrites the files; the review sees the difference.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from shared.contracts import CONTRACTS
from support.events import booking, linked, payment, registered

GOLDEN = Path(__file__).parent / "golden"


def golden(event_type: str) -> Path:
    return GOLDEN / f"{event_type}.v{CONTRACTS[event_type].version}.json"


def schema_of(event_type: str) -> Any:
    return _without_prose(json.loads(json.dumps(CONTRACTS[event_type].model.model_json_schema())))


def _without_prose(schema: Any) -> Any:
    """Descriptions may change freely."""
    if isinstance(schema, dict):
        return {key: _without_prose(value) for key, value in schema.items() if key != "description"}
    return [_without_prose(item) for item in schema] if isinstance(schema, list) else schema


def is_additive(old: Any, new: Any) -> bool:
    """Everything the old schema says still holds; only properties that are not required were added."""
    if isinstance(old, dict) and isinstance(new, dict):
        if sorted(old.get("required", [])) != sorted(new.get("required", [])):
            return False
        return all(key in new and is_additive(value, new[key]) for key, value in old.items())
    return bool(old == new)


@pytest.mark.parametrize("event_type", sorted(CONTRACTS))
def test_a_contract_changes_only_by_addition(event_type: str) -> None:
    schema = schema_of(event_type)
    path = golden(event_type)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(json.dumps(schema, indent=2, sort_keys=True) + "\n")
    old = json.loads(path.read_text())

    assert is_additive(old, schema), f"{event_type}: not additive, make it a new version"
    assert old == schema, "added to: run once with UPDATE_GOLDEN=1 and commit the file"


def test_no_published_contract_disappears() -> None:
    assert {path.name for path in GOLDEN.glob("*.json")} == {golden(event_type).name for event_type in CONTRACTS}


@pytest.mark.parametrize("event", [booking("b1"), linked("b1", "u1"), registered("u1"), payment("p1", "b1")])
def test_events_are_cloudevents_to_the_reference_library(event: Any) -> None:
    read = JSONFormat().read(CloudEvent, event.encode())

    assert read.get_type() == event.type
    assert read.get_subject() == event.subject
    assert read.get_extension("sequence") == event.sequence


def test_removing_renaming_retyping_or_requiring_a_field_is_no_addition() -> None:
    old = {"properties": {"a": {"type": "string"}}, "required": ["a"]}

    assert is_additive(old, {"properties": {"a": {"type": "string"}, "b": {}}, "required": ["a"]})
    assert not is_additive(old, {"properties": {}, "required": ["a"]})
    assert not is_additive(old, {"properties": {"a": {"type": "integer"}}, "required": ["a"]})
    assert not is_additive(old, {"properties": {"a": {"type": "string"}, "b": {}}, "required": ["a", "b"]})
