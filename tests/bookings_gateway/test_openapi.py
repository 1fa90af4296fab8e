"""OpenAPI says what is answered: an example for every body, headers, and what a switched-off endpoint answers."""

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from bookings_gateway.access.policy import PREFIX
from bookings_gateway.layouts import PRESETS
from support.databases import Databases
from support.gateway import gateway as running_gateway

JSON = "application/json"
BEHIND_THE_FLAG = ("/users", "/users/export", "/users/duplicates", "/payments", "/payments/export", "/search")


@pytest.fixture
async def document(gateway_databases: Databases) -> dict[str, Any]:
    """The OpenAPI document of the whole gateway."""
    async with running_gateway(await gateway_databases.create("bookings_gateway")) as running:
        return running.app.openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if path.startswith(PREFIX):
                yield path, method, operation


def fits(body: dict[str, Any], document: dict[str, Any]) -> bool:
    """Whether the example of a body, or of its schema, is what the schema allows."""
    schema = {**body["schema"], "components": document["components"]}
    named = document["components"]["schemas"].get(body["schema"].get("$ref", "").rpartition("/")[2], body["schema"])
    shown = [body["example"]] if "example" in body else named["examples"]
    return bool(shown) and all(Draft202012Validator(schema).is_valid(each) for each in shown)


def test_every_success_has_an_example_that_fits_its_schema(document: dict[str, Any]) -> None:
    found = list(operations(document))
    assert len(found) > 35
    for path, method, operation in found:
        successes = {status: said for status, said in operation["responses"].items() if status.startswith("2")}
        assert successes, (path, method)
        for status, said in successes.items():
            content = said.get("content", {})
            if status != "204" and "text/csv" not in content:
                body = content[JSON]
                assert body["schema"] not in ({}, {"type": "object"}), (path, method)
                assert fits(body, document), (path, method, status)


def test_every_body_that_is_sent_has_an_example_that_fits_its_schema(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        if sent := operation.get("requestBody"):
            assert fits(sent["content"][JSON], document), (path, method)


def test_versions_are_documented_where_they_are_answered(document: dict[str, Any]) -> None:
    for path in ("/bookings/{booking_id}", "/users/{user_id}"):
        assert "ETag" in document["paths"][PREFIX + path]["get"]["responses"]["200"]["headers"]
    assert "ETag" in document["paths"][f"{PREFIX}/users/{{user_id}}"]["patch"]["responses"]["200"]["headers"]


def test_an_endpoint_that_can_be_switched_off_says_what_it_answers_then(document: dict[str, Any]) -> None:
    for path in BEHIND_THE_FLAG:
        said = document["paths"][PREFIX + path]["get"]["responses"]["404"]["description"]
        assert "switched off" in said, path


@pytest.mark.parametrize("layout", PRESETS)
async def test_a_booking_is_described_in_the_words_of_its_table(gateway_databases: Databases, layout: str) -> None:
    url = await gateway_databases.create("bookings_gateway")
    async with running_gateway(url, legacy_layout=layout) as running:
        document = running.app.openapi()
    listed = document["paths"][f"{PREFIX}/bookings"]["get"]["responses"]["200"]["content"][JSON]
    (row,) = listed["example"]
    assert set(PRESETS[layout].columns.values()) & set(row) >= {PRESETS[layout].created_at, PRESETS[layout].status}
    assert (row["customerName"], row["user"]["totalSpent"]) == ("Ann Lee", "202.50")
