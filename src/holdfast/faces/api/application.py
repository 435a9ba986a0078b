"""The HTTP application: every route in one list, and how errors are answered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

import psycopg
from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from psycopg_pool import PoolTimeout

from holdfast.core.errors import HoldfastError
from holdfast.faces.api import (
    addresses,
    api_keys,
    attention,
    balances,
    browse,
    certificate,
    deposits,
    events,
    health,
    invoices,
    ledger_entries,
    merchants,
    networks,
    payouts,
    problems,
    reconciliation,
    signer,
    signer_documents,
    standing_orders,
    status,
    webhook_endpoints,
)
from holdfast.faces.api.edge import BODY_BYTES_MAX, Edge
from holdfast.faces.api.parts import AllParts
from holdfast.faces.api.rate_limits import RateLimit
from holdfast.faces.web import pages, rendering, status_page
from holdfast.runtime.clock import Clock
from holdfast.runtime.settings import Settings

V1: tuple[Router, ...] = (
    merchants.router,
    api_keys.router,
    invoices.router,
    deposits.router,
    payouts.router,
    standing_orders.router,
    balances.router,
    ledger_entries.router,
    addresses.router,
    certificate.router,
    networks.router,
    events.router,
    webhook_endpoints.router,
    attention.router,
    signer_documents.router,
    reconciliation.router,
)
"""Every resource of the API."""

OpenParts: TypeAlias = Callable[[RateLimit], AbstractAsyncContextManager[AllParts]]
"""Opens what the handlers work with, and closes it."""


def application(settings: Settings, clock: Clock, open_parts: OpenParts) -> Edge:
    """The ASGI application of one process."""
    limit = RateLimit(settings.api.requests_per_minute // settings.api.workers)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with open_parts(limit) as parts:
            app.state.parts = parts
            app.state.doorkeeper = parts.doorkeeper
            yield

    app = Litestar(
        route_handlers=[
            *V1,
            signer.router,
            pages.router,
            status_page.router,
            status.router,
            rendering.static_file,
            health.health,
            health.ready,
            health.figures,
            browse.documents(settings, V1),
        ],
        lifespan=[lifespan],
        dependencies={"parts": Provide(_parts, sync_to_thread=False)},
        exception_handlers={
            HoldfastError: problems.on_expected,
            HTTPException: problems.on_framework,
            psycopg.OperationalError: problems.on_database,
            PoolTimeout: problems.on_database,
            Exception: problems.on_unexpected,
        },
        request_max_body_size=BODY_BYTES_MAX,
        openapi_config=None,
        logging_config=None,
    )
    return Edge(app, clock, limit, is_https=settings.api.public_url.startswith("https://"))


def _parts(state: State) -> AllParts:
    parts: AllParts = state.parts
    return parts
