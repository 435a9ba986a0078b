"""`/signer/v1`: the door for the signer, which dials in with a token of its own. It is no part of the public API.

It fetches what waits and hands over its journal. Nothing that it is told here is believed by it, and nobody else's key
opens this door.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Response, Router, get, post
from litestar.params import QueryParameter, RawBody

from holdfast.faces.api.callers import signer_only
from holdfast.faces.api.edge import JOURNAL_BYTES_MAX
from holdfast.faces.api.once import take
from holdfast.faces.api.parts import AllParts, Parts
from holdfast.faces.api.problems import MEDIA_TYPE, problem_of, status_of
from holdfast.payments import held_payouts, mirror, signer_work
from holdfast.payments.mirror import JournalGap
from holdfast.payments.signer_messages import JournalAnswer, JournalPost, WorkAnswer

WAIT_SECONDS_MAX = 25


@get("/work", guards=[signer_only()])
async def get_work(
    parts: Parts,
    after_version: Annotated[
        str | None, QueryParameter(max_length=200_000, description="`version` of the answer before.")
    ] = None,
    wait: Annotated[int, QueryParameter(ge=0, le=WAIT_SECONDS_MAX, description="Seconds to wait for more.")] = 0,
) -> Response[bytes]:
    """All that waits for the signer. With `after_version` it is answered once there is more than then, or after `wait`;
    without, at once if there is anything."""

    def is_closing() -> bool:
        return parts.live_hub.is_closing

    seen = after_version
    if seen is None:
        found = await _work(parts)
        if wait == 0 or not found.is_empty:
            return _json(found)
        seen = found.version
    await signer_work.await_news(parts.pool, seen, wait, is_closing)
    return _json(await _work(parts))


async def _work(parts: AllParts) -> WorkAnswer:
    """What waits, without what screening keeps back; that is put before a person."""
    async with parts.pool.connection() as conn:
        if parts.screen_payout is not None:
            await held_payouts.ask(conn, parts.screen_payout, parts.clock.now())
        return await signer_work.read_work(conn, parts.screen_payout)


@post("/journal", guards=[signer_only()], status_code=200, request_max_body_size=JOURNAL_BYTES_MAX)
async def post_journal(parts: Parts, body: RawBody) -> Response[bytes]:
    """New entries of the journal, each witnessed. 409 with `journal_seq` where they do not follow what is here."""
    given = take(JournalPost, body)
    try:
        return _json(JournalAnswer(await mirror.mirror(parts.pool, given, parts.clock.now())))
    except JournalGap as gap:
        problem = {**msgspec.to_builtins(problem_of(gap)), "journal_seq": gap.journal_seq}
        return Response(msgspec.json.encode(problem), status_code=int(status_of(gap)), media_type=MEDIA_TYPE)


def _json(answer: msgspec.Struct) -> Response[bytes]:
    return Response(msgspec.json.encode(answer), media_type="application/json")


router = Router("/signer/v1", route_handlers=[get_work, post_journal], include_in_schema=False)
