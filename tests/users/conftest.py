"""A fresh users database per test."""

from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine


@pytest.fixture
async def users_engine(make_engine: Callable[[str], Awaitable[AsyncEngine]]) -> AsyncEngine:
    return await make_engine("users")
