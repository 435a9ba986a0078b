"""`holdfast screening`: what screening holds, and a person's decision about it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from holdfast.faces.cli.terminal import ConfigOption, JsonOption, emit, load_settings, say

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from psycopg import AsyncConnection

    from holdfast.runtime.settings import Settings

T = TypeVar("T")

app = typer.Typer(help="What screening holds, and what a person decides about it.", no_args_is_help=True)

WhoOption = Annotated[str, typer.Option("--by", help="Who decides; it is kept.")]
What = Annotated[str, typer.Argument(help="A deposit (`dep_…`) or a payout (`pay_…`).")]


@app.command("list")
def list_held(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Deposits and payouts that wait for a person, with the reason.

    Example: `holdfast screening list --config pay/holdfast.toml`
    """
    found = asyncio.run(_with(load_settings(config), what_is_held))
    for each in found:
        say(f"{each['subject']}  {each['reason']}\n  {each['why']}")
    emit(found, "" if found else "nothing is held", as_json=as_json)


@app.command()
def release(what: What, *, by: WhoOption, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Let it go on: a deposit is credited now, a payout is shown to the signer next.

    Example: `holdfast screening release dep_01jq… --by "Ann, compliance"`
    """
    _decide(what, by, load_settings(config), is_release=True, as_json=as_json)


@app.command("refuse")
def refuse(what: What, *, by: WhoOption, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Do not let it go on: a deposit stays in the vault to be paid back, a payout's units return to the balance.

    Example: `holdfast screening refuse pay_01jq… --by "Ann, compliance"`
    """
    _decide(what, by, load_settings(config), is_release=False, as_json=as_json)


def _decide(what: str, by: str, settings: Settings, *, is_release: bool, as_json: bool) -> None:
    from holdfast.payments import held_payouts, steps
    from holdfast.runtime.clock import SYSTEM_CLOCK

    async def work(conn: AsyncConnection[Any]) -> str:
        now = SYSTEM_CLOCK.now()
        async with conn.transaction():
            if what.startswith("pay_"):
                move = held_payouts.release if is_release else held_payouts.refuse
                return str((await move(conn, what, by, now)).state)
            turn = steps.release if is_release else steps.give_back
            return str((await turn(conn, what, by, now)).state)

    state = asyncio.run(_with(settings, work))
    emit({"id": what, "state": state, "by": by}, f"{what} is {state}", as_json=as_json)


async def _with(settings: Settings, work: Callable[[AsyncConnection[Any]], Awaitable[T]]) -> T:
    from holdfast.faces.cli.open_database import with_database
    from holdfast.runtime.database import connected

    async with with_database(settings) as access, connected(access.url, password=access.password) as conn:
        return await work(conn)


async def what_is_held(conn: AsyncConnection[Any]) -> list[dict[str, Any]]:
    """Deposits and payouts that wait for a person, newest first."""
    from holdfast.payments import attention
    from holdfast.payments.standing import AttentionReason

    found, after = [], None
    while page := await attention.page(conn, None, after=after, limit=500):
        after = page[-1].id
        found += [
            {"id": one.id, "subject": one.subject, "reason": str(one.reason), "why": one.detail.get("why", "")}
            for one in page
            if one.reason in (AttentionReason.DEPOSIT_HELD, AttentionReason.PAYOUT_HELD)
        ]
    return found
