"""An example for every body OpenAPI describes: what a schema says of itself, else a value of its kind. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI

_JSON = "application/json"
_DEEPEST = 12
_FORMATS = {
    "date-time": "2025-01-15T10:30:00.000Z",
    "date": "2025-01-15",
    "uuid": "00000000-0000-4000-8000-00000000000a",
}
_WORDS = {
    "email": "ann@example.com",
    "emails": "ann@example.com",
    "customerEmail": "ann@example.com",
    "name": "Ann Lee",
    "customerName": "Ann Lee",
    "firstName": "Ann",
    "lastName": "Lee",
    "phone": "07700 900123",
    "companyName": "Acme Ltd",
    "bookingReference": "BK-2025-0042",
    "id": "00000000-0000-4000-8000-00000000000a",
    "bookingId": "00000000-0000-4000-8000-00000000000b",
    "booking_id": "00000000-0000-4000-8000-00000000000b",
    "currency": "GBP",
    "method": "card",
    "cardBrand": "visa",
    "cardLast4": "4242",
    "stripePaymentIntentId": "pi_3NxYzAbCdEf",
    "stripeChargeId": "ch_3NxYzAbCdEf",
    "code": "created_at_missing",
    "actor": "Bea of the office",
    "author": "Bea of the office",
    "action": "booking.updated",
    "entity": "booking/00000000-0000-4000-8000-00000000000b",
}
_PLAIN = {"string": "text", "integer": 1, "number": 1.5, "boolean": False, "null": None}


def document_examples(app: FastAPI) -> None:
    """Let the OpenAPI document of ``app`` have an example in every JSON body, of requests and of successes."""
    write = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = write()
            for body in _bodies(schema):
                if "example" not in body and "examples" not in body:
                    body["example"] = example_of(body["schema"], schema)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def example_of(schema: Mapping[str, Any], document: Mapping[str, Any], name: str = "", depth: int = 0) -> Any:  # noqa: ANN401 - JSON
    """Return a value that fits the schema, which may point into the document; ``name`` is the property it is of."""
    schema = _resolved(schema, document)
    if depth > _DEEPEST:
        return None
    for told in ("examples", "enum"):
        if schema.get(told):
            return schema[told][0]
    if "const" in schema:
        return schema["const"]
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return example_of(schema[choice][0], document, name, depth + 1)
    return _by_type(schema, document, name, depth)


def _by_type(schema: Mapping[str, Any], document: Mapping[str, Any], name: str, depth: int) -> Any:  # noqa: ANN401
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        properties = schema.get("properties", {})
        return {each: example_of(properties[each], document, each, depth + 1) for each in properties}
    if kind == "array":
        return [example_of(schema["items"], document, name, depth + 1)] if "items" in schema else []
    if kind == "string":
        return _FORMATS.get(schema.get("format", "")) or _WORDS.get(name, _PLAIN["string"])
    return _PLAIN.get(str(kind))


def _resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    if reference := schema.get("$ref"):
        found: Mapping[str, Any] = document["components"]["schemas"][reference.rpartition("/")[2]]
        return found
    return schema


def _bodies(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for operations in document["paths"].values():
        for operation in operations.values():
            answers = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
            for described in (*answers, operation.get("requestBody", {})):
                body = described.get("content", {}).get(_JSON)
                if body and "schema" in body:
                    yield body
