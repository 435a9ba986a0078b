"""`/status`: what works and what does not, in words, for payers as much as for merchants. No key."""

from __future__ import annotations

from litestar import Response, Router, get

from holdfast.core.orders import Stage
from holdfast.faces.api.callers import open_to_all
from holdfast.faces.api.parts import Parts
from holdfast.faces.api.status import read_what_works
from holdfast.faces.web.rendering import page
from holdfast.payments.what_works import PayoutsOut

WORDS = {
    None: "go out",
    Stage.NORMAL: "go out",
    Stage.LIMITED: "go out within lower limits",
    Stage.ALLOWLISTED: "go out to known destinations",
    Stage.FROZEN: "wait",
}
"""What a stage means to somebody who has never heard of stages."""


@get("/", guards=[open_to_all()])
async def status_page(parts: Parts) -> Response[str]:
    """The page."""
    found = await read_what_works(parts)
    payouts = [(one, "wait" if one.is_silent else WORDS[one.stage], _is_slow(one)) for one in found.payouts]
    values = {"status": found, "payouts": payouts, "at": parts.clock.now()}
    return page("status.html", values)


def _is_slow(one: PayoutsOut) -> bool:
    return not one.is_paid or one.stage not in (None, Stage.NORMAL)


router = Router("/status", route_handlers=[status_page], include_in_schema=False)
