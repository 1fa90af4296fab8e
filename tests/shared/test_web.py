"""The HTTP frame: operations endpoints, documents, problem bodies and trace context."""

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
from fastapi import FastAPI, HTTPException

from shared.service import Service
from shared.web import create_app
from support.sample_service import sample_service

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
async def service(make_database: Callable[[str], Awaitable[str]], amqp_url: str) -> AsyncIterator[Service]:
    sample = sample_service(await make_database("sample"), amqp_url)
    yield sample
    await sample.engine.dispose()


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    app: FastAPI = create_app(service, title="sample", description="A sample.")

    @app.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418, "short and stout")

    @app.get("/number")
    async def number(value: int) -> int:
        return value

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        yield http


async def test_live_says_nothing_of_the_broker(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health/live")).json() == {"status": "live"}


async def test_ready_names_what_is_away(client: httpx.AsyncClient) -> None:
    response = await client.get("/health/ready")

    assert response.status_code == 503
    assert response.json()["checks"]["database"] == "ok"
    assert response.json()["checks"]["broker"] == "not started"


async def test_metrics_count_requests_by_route(client: httpx.AsyncClient) -> None:
    await client.get("/number", params={"value": 3})

    metrics = (await client.get("/metrics")).text
    assert 'http_request_seconds_count{method="GET",route="/number",status="200"}' in metrics
    assert "outbox_rows 0.0" in metrics


async def test_asyncapi_describes_the_queues_consumed_and_the_events_published(client: httpx.AsyncClient) -> None:
    document = (await client.get("/asyncapi.json")).json()

    assert document["asyncapi"] == "3.0.0"
    assert any("sample.events" in name for name in document["channels"])
    assert {"BookingCreated", "UserTotalsChanged"} <= set(document["components"]["schemas"])
    assert (await client.get("/asyncapi")).headers["content-type"].startswith("text/html")


async def test_errors_are_problem_documents(client: httpx.AsyncClient) -> None:
    teapot, invalid = await client.get("/teapot"), await client.get("/number", params={"value": "x"})

    assert teapot.headers["content-type"] == "application/problem+json"
    assert teapot.json()["detail"] == "short and stout"
    assert (invalid.status_code, invalid.json()["errors"][0]["where"]) == (422, "query.value")


async def test_a_request_continues_its_caller_s_trace_or_starts_one(client: httpx.AsyncClient) -> None:
    given = await client.get("/health/live", headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
    fresh = await client.get("/health/live", headers={"traceparent": "nonsense"})

    assert given.headers["x-correlation-id"] == TRACE
    assert fresh.headers["x-correlation-id"] not in {TRACE, ""}
