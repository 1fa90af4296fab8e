"""A fresh users database per test."""

from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from support.people import People


@pytest.fixture
async def users_engine(make_engine: Callable[[str], Awaitable[AsyncEngine]]) -> AsyncEngine:
    return await make_engine("users")


@pytest.fixture
async def people(users_engine: AsyncEngine) -> People:
    return People(users_engine)
