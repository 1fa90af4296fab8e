"""Serve an application with uvicorn."""

from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from shared import logs, tracing
from shared.settings import ServiceSettings


def serve(settings: ServiceSettings, *, name: str, create: Callable[[], FastAPI]) -> None:
    """Run until told to stop (SIGTERM, SIGINT); blocking."""
    logs.configure(level=settings.log_level, form=settings.log_format)
    tracing.configure(name)
    uvicorn.run(
        create(),
        host=settings.host,
        port=settings.port,
        forwarded_allow_ips=settings.trusted_proxies,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=10,
    )
