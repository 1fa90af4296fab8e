"""Every route of the admin API × every role × no login, from the routes of the application itself."""

import re
from collections.abc import AsyncIterator, Mapping

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import iter_route_contexts

from bookings_gateway.access.actor import Role
from bookings_gateway.access.errors import UnruledRoute
from bookings_gateway.access.guard import rules_of
from bookings_gateway.access.policy import LEGACY, LOGIN, POLICY, PREFIX
from bookings_gateway.main import application, compose
from support.databases import Databases
from support.gateway import Gateway, gateway, settings
from support.staff import bearer

NOBODY = "00000000-0000-4000-8000-000000000001"
REFUSED = {401, 403}


def routes_of(app: FastAPI) -> list[tuple[str, str]]:
    """Every method and path template below the prefix."""
    routes = [(method, route.path or "") for route in iter_route_contexts(app.routes) for method in route.methods or ()]
    return sorted(route for route in routes if route[1].startswith(PREFIX))


ROUTES = routes_of(application(settings(), *compose(settings())))
GUARDED = [route for route in ROUTES if route != LOGIN]


@pytest.fixture(scope="module")
async def whole(gateway_databases: Databases) -> AsyncIterator[Gateway]:
    async with gateway(await gateway_databases.create("bookings_gateway")) as running:
        yield running


@pytest.fixture(scope="module")
async def tokens(whole: Gateway) -> Mapping[Role | None, Mapping[str, str]]:
    return {None: {}, **{role: await bearer(whole.engine, role) for role in Role}}


async def ask(whole: Gateway, method: str, template: str, headers: Mapping[str, str]) -> tuple[int, object]:
    path = re.sub(r"\{[^}]*\}", NOBODY, template)
    async with whole.client() as client:
        answer = await client.request(method, f"http://gateway{path}", headers=headers, json={})
    is_json = answer.headers.get("content-type", "").endswith("json")
    return answer.status_code, answer.json() if is_json and answer.content else None


def test_the_table_names_every_route_and_no_other() -> None:
    assert sorted(GUARDED) == sorted(POLICY)


def test_reading_is_for_viewers_and_deleting_for_admins() -> None:
    """The rule behind the table, as far as a rule can say it."""
    assert {role for (method, _), role in POLICY.items() if method == "DELETE"} == {Role.ADMIN}
    reads = {path: role for (method, path), role in POLICY.items() if method == "GET"}
    assert reads[LEGACY] == Role.VIEWER
    assert reads[f"{PREFIX}/audit"] == Role.ADMIN


@pytest.mark.parametrize("role", [None, *Role])
@pytest.mark.parametrize(("method", "template"), GUARDED)
async def test_who_may_not_is_refused_and_who_may_is_not(
    whole: Gateway, tokens: Mapping[Role | None, Mapping[str, str]], method: str, template: str, role: Role | None
) -> None:
    status, body = await ask(whole, method, template, tokens[role])

    least = POLICY[method, template]
    allowed = role is not None and list(Role).index(role) >= list(Role).index(least)
    if allowed:
        assert status not in REFUSED
        assert status != 500
    else:
        assert status == (401 if role is None else 403)
        assert isinstance(body, dict)
        is_legacy = template.startswith(LEGACY)
        assert set(body) == {"error"} if is_legacy else {"title", "status", "detail"} <= set(body)


@pytest.mark.parametrize("path", ["", "/", "/nothing", "/bookings/", "/bookings/x/y", "/login/x", "/%2e%2e/session"])
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "OPTIONS", "HEAD"])
async def test_nothing_below_the_prefix_answers_without_a_login(whole: Gateway, method: str, path: str) -> None:
    status, _ = await ask(whole, method, f"{PREFIX}{path}", {})

    assert status == 401


async def test_what_is_outside_needs_no_login(whole: Gateway) -> None:
    assert await ask(whole, "GET", "/health/live", {}) == (200, {"status": "live"})


def test_an_application_with_a_route_the_table_does_not_know_is_not_made() -> None:
    app, router = FastAPI(), APIRouter(prefix=f"{PREFIX}/new")
    router.get("")(lambda: None)
    app.include_router(router)

    with pytest.raises(UnruledRoute, match=r"GET /api/admin/new is not in access/policy\.py"):
        rules_of(app, POLICY)


def test_what_has_no_methods_is_no_way_around_the_table() -> None:
    app = FastAPI()
    app.mount(f"{PREFIX}/files", FastAPI())

    with pytest.raises(UnruledRoute, match="has no methods"):
        rules_of(app, POLICY)


async def test_a_path_the_application_is_mounted_under_is_no_way_around_the_guard(whole: Gateway) -> None:
    transport = httpx.ASGITransport(whole.app, root_path="/below")
    async with httpx.AsyncClient(transport=transport) as client:
        answer = await client.get(f"http://gateway/below{LEGACY}")

    assert answer.status_code == 401


async def test_a_refusal_has_its_correlation_id(whole: Gateway) -> None:
    async with whole.client() as client:
        assert (await client.get("/bookings")).headers["X-Correlation-Id"]


def test_openapi_says_of_every_route_who_may(whole: Gateway) -> None:
    paths = whole.app.openapi()["paths"]

    for (method, path), least in POLICY.items():
        operation = paths[path][method.lower()]
        assert operation["x-least-role"] == least
        assert operation["security"]
        assert set(map(int, operation["responses"])) >= REFUSED


@pytest.mark.parametrize("path", ["/bookings/export%0A", "/users/export%0A", "/bookings%0A", "/bookings/x%00", "/a%7F"])
async def test_a_path_with_control_characters_is_none(whole: Gateway, path: str) -> None:
    async with whole.client(headers=await bearer(whole.engine, Role.ADMIN)) as client:
        assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize("path", ["/bookings", "/bookings/export", "/users", "/nowhere", "/session"])
@pytest.mark.parametrize("role", [None, Role.ADMIN])
async def test_no_answer_is_kept_or_guessed_at(
    whole: Gateway, tokens: Mapping[Role | None, Mapping[str, str]], path: str, role: Role | None
) -> None:
    async with whole.client(headers=tokens[role]) as client:
        answer = await client.get(path)

    assert answer.headers.get_list("Cache-Control") == ["no-store"]
    assert answer.headers.get_list("X-Content-Type-Options") == ["nosniff"]
