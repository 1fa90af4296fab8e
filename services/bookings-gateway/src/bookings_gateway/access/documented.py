"""What OpenAPI says of access, for every route of the admin API: how to log in, the least role, and the refusals."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from bookings_gateway.access.browser import CSRF_HEADER, Browser
from bookings_gateway.access.policy import LEGACY, POLICY, PREFIX
from shared.problems import documented

_BEARER = {"type": "http", "scheme": "bearer", "description": "For programs: `bookings-gateway tokens create`"}
_ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
_LEGACY_BODY = {"application/json": {"schema": _ERROR}}


def document_access(app: FastAPI, browser: Browser) -> None:
    """Let the OpenAPI document of ``app`` say it."""
    write = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = write()
            cookie = {
                "type": "apiKey",
                "in": "cookie",
                "name": browser.cookie,
                "description": f"For browsers: POST {PREFIX}/login. Writes also need the header `{CSRF_HEADER}`.",
            }
            schemes = schema.setdefault("components", {}).setdefault("securitySchemes", {})
            schemes.update({"token": _BEARER, "session": cookie})
            for (method, path), role in POLICY.items():
                if operation := schema["paths"].get(path, {}).get(method.lower()):
                    _describe(operation, least=role, legacy=path.startswith(LEGACY))
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _describe(operation: dict[str, Any], *, least: str, legacy: bool) -> None:
    operation["security"] = [{"token": []}, {"session": []}]
    operation["x-least-role"] = least
    operation["description"] = f"{operation.get('description', '')}\n\nFor the role {least} and above.".strip()
    for status, response in _refusals(legacy=legacy).items():
        operation["responses"].setdefault(status, response)


def _refusals(*, legacy: bool) -> Mapping[str, Any]:
    refusals = {str(status): response for status, response in documented(403).items() if status in {401, 403, 503}}
    if legacy:
        return {status: {**response, "content": _LEGACY_BODY} for status, response in refusals.items()}
    return refusals
