"""What every request of an API goes through runs on the event loop: a thread would have to be waited for."""

import inspect
from collections.abc import Iterator
from importlib import import_module

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from support import stripe_payloads
from support.system import SERVICES, variable


@pytest.mark.parametrize("service", SERVICES)
def test_no_request_waits_for_a_thread(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQP_URL", "amqp://unused")
    monkeypatch.setenv(variable(service, "DATABASE_URL"), "postgresql://unused")
    monkeypatch.setenv("PAYMENTS_STRIPE_WEBHOOK_SECRETS", stripe_payloads.SECRET)
    app = import_module(f"{service.replace('-', '_')}.main").create_app()
    routes = [each for each in iter_route_contexts(app.routes) if (each.path or "").startswith(("/api/", "/internal/"))]

    assert routes
    assert [(route.path, call) for route in routes for call in _calls(route.dependant) if _is_blocking(call)] == []


def _calls(dependant: Dependant) -> Iterator[object]:
    yield dependant.call
    for each in dependant.dependencies:
        yield from _calls(each)


def _is_blocking(call: object) -> bool:
    looked_at = call if inspect.isroutine(call) else getattr(call, "__call__", None)  # noqa: B004 - a callable object's
    return not (inspect.iscoroutinefunction(looked_at) or inspect.isasyncgenfunction(looked_at))
