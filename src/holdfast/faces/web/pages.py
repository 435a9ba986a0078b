"""`/i/{id}`: the checkout page, its live stream, and the form that picks an asset. No key: ids cannot be guessed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import parse_qs, quote as quoted

from litestar import Response, Router, get, post
from litestar.params import QueryParameter, RawBody
from litestar.response import Redirect, ServerSentEvent
from litestar.response.sse import ServerSentEventMessage
from psycopg import AsyncConnection

from holdfast.core.errors import HoldfastError, NotFound
from holdfast.faces.api.callers import open_to_all
from holdfast.faces.api.parts import AllParts, Parts
from holdfast.faces.api.problems import status_of
from holdfast.faces.api.shapes import IdPath
from holdfast.faces.web.checkout_view import CheckoutView, Facts, Phase, checkout_view
from holdfast.faces.web.live import TooManyWatchers, Watcher
from holdfast.faces.web.rendering import html, page
from holdfast.payments import deposits, invoices, invoicing, merchants
from holdfast.payments.deposits import DepositFilter
from holdfast.payments.invoices import InvoiceNotFound

HEARTBEAT_SECONDS = 15.0
DEPOSITS_SHOWN_MAX = 20
FORM_BYTES_MAX = 1_000
DONE = frozenset({Phase.SETTLED, Phase.CLOSED})
"""Phases in which the payer waits for nothing. The stream goes on: a payment may still leave the chain."""

Picked = Annotated[str | None, QueryParameter(name="asset", max_length=160)]


@get("/{invoice_id:str}", guards=[open_to_all()])
async def checkout(parts: Parts, invoice_id: IdPath, picked: Picked = None) -> Response[str]:
    """The page where a payer pays."""
    return await _page(parts, invoice_id, picked, "", HTTPStatus.OK)


@post("/{invoice_id:str}/quotes", guards=[open_to_all()])
async def pick(parts: Parts, invoice_id: IdPath, body: RawBody) -> Response[Any]:
    """The payer picked an asset: quote it, and show it. Picking it twice gives the same quote."""
    asset = parse_qs(body[:FORM_BYTES_MAX].decode("ascii", "replace")).get("asset", [""])[0]
    try:
        await invoicing.quote(parts.pool, parts.desk, invoice_id, asset, parts.clock.now())
    except InvoiceNotFound:
        return _missing()
    except HoldfastError as error:
        return await _page(parts, invoice_id, None, f"{error.title()} {error.remedy()}", status_of(error))
    return Redirect(f"/i/{invoice_id}?asset={quoted(asset, safe='')}", status_code=303)


@get("/{invoice_id:str}/live", guards=[open_to_all()])
async def live(parts: Parts, invoice_id: IdPath, picked: Picked = None) -> Response[Any]:
    """Server-sent events (HTML Living Standard, 9.2): the payment part of the page, whenever it changes."""
    if await _view(parts, invoice_id, picked) is None:
        return _missing()
    return ServerSentEvent(_stream(parts, invoice_id, picked), headers={"X-Accel-Buffering": "no"})


async def _page(parts: AllParts, invoice_id: str, picked: str | None, notice: str, status: int) -> Response[Any]:
    view = await _view(parts, invoice_id, picked)
    if view is None:
        return _missing()
    query = "" if picked is None else f"?asset={quoted(picked, safe='')}"
    values = {"view": view, "query": query, "is_open": view.phase not in DONE, "notice": notice}
    return page("checkout.html", values, status=status)


def _missing() -> Response[Any]:
    text = "Check that the whole link was copied, or ask the shop for it again."
    return page("missing.html", {"title": "There is no such invoice", "text": text}, status=HTTPStatus.NOT_FOUND)


async def _view(parts: AllParts, invoice_id: str, picked: str | None) -> CheckoutView | None:
    async with parts.pool.connection() as conn:
        try:
            facts = await _facts(conn, invoice_id, parts.live_hub.heights)
        except NotFound:
            return None
    return checkout_view(parts.desk.catalogue, facts, picked, parts.clock.now())


async def _facts(conn: AsyncConnection[Any], invoice_id: str, heights: dict[str, int]) -> Facts:
    invoice = await invoices.get(conn, invoice_id)
    quotes = await invoices.quotes(conn, [invoice_id])
    wanted = DepositFilter(invoice.merchant_id, invoice_id, limit=DEPOSITS_SHOWN_MAX)
    arrived = list(reversed(await deposits.page(conn, wanted)))
    merchant = await merchants.get(conn, invoice.merchant_id)
    if arrived:
        cursor = await conn.execute("SELECT network, height FROM payments.cursors WHERE height IS NOT NULL")
        heights = {row[0]: row[1] for row in await cursor.fetchall()}
    return Facts(invoice, quotes[invoice_id], arrived, merchant.name, heights)


async def _stream(parts: AllParts, invoice_id: str, picked: str | None) -> AsyncIterator[ServerSentEventMessage]:
    """The view now, and again whenever it has changed; a comment now and then keeps the connection open."""
    shown: CheckoutView | None = None
    try:
        with parts.live_hub.watching(invoice_id) as watcher:
            while not parts.live_hub.is_closing:
                view = await _view(parts, invoice_id, picked)
                if view is None:
                    yield END
                    return
                if view != shown:
                    shown = view
                    yield ServerSentEventMessage(data=html("payment.html", {"view": view}), event="view")
                while True:
                    pause = _pause(view, parts.clock.now())
                    if await _news(watcher, pause) or pause < HEARTBEAT_SECONDS:
                        break
                    yield ServerSentEventMessage(comment="still here")
    except TooManyWatchers:
        yield END


END = ServerSentEventMessage(data="", event="end")
"""Do not come back. A stream that ends without it, as when the server restarts, is opened again by the browser."""


async def _news(watcher: Watcher, seconds: float) -> bool:
    """Whether there is news within this time."""
    try:
        await asyncio.wait_for(watcher.news.wait(), seconds)
    except TimeoutError:
        return False
    watcher.news.clear()
    return True


def _pause(view: CheckoutView, now: datetime) -> float:
    """How long a view stays true by itself, at most a heartbeat: rates and invoices run out."""
    moments = [view.expires_at] + ([view.ask.valid_until] if view.ask else [])
    ahead = [(moment - now).total_seconds() for moment in moments if moment > now]
    return min([HEARTBEAT_SECONDS, *(seconds + 0.05 for seconds in ahead)])


router = Router("/i", route_handlers=[checkout, pick, live], include_in_schema=False)
