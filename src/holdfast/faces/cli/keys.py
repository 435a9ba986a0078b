"""`holdfast keys`: API keys, made and ended where the database can be reached by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from holdfast.faces.cli.terminal import ConfigOption, JsonOption, emit, load_settings, say

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from holdfast.payments.api_keys import ApiKey

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)

MerchantOption = Annotated[
    str | None, typer.Option("--merchant", metavar="ID", help="Whose key; without it, the operator's.")
]
T = TypeVar("T")


@app.command("make")
def make(  # noqa: PLR0913  one option of the command line each
    name: Annotated[str, typer.Argument(help="What the key is for; shown in lists.")],
    *,
    merchant: MerchantOption = None,
    scope: Annotated[list[str] | None, typer.Option(help="A scope of a merchant's key; default: all.")] = None,
    days: Annotated[int, typer.Option(min=1, max=366, help="How long it is valid: every grant expires.")] = 90,
    allowed_ip: Annotated[list[str] | None, typer.Option(help="Address or network it may be used from.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an API key. Its secret is printed once, on standard output, and kept nowhere.

    Example: `holdfast keys make shop-server --merchant mer_… --scope invoices:write --days 30`
    """
    from holdfast.payments import api_keys
    from holdfast.runtime.clock import SYSTEM_CLOCK

    scopes = frozenset(_scope(text) for text in scope or [])
    default = {api_keys.Scope.OPERATOR} if merchant is None else api_keys.MERCHANT_SCOPES
    now = SYSTEM_CLOCK.now()
    request = api_keys.KeyRequest(
        merchant, name, scopes or frozenset(default), now + timedelta(days=days), tuple(allowed_ip or ())
    )
    key, secret = _in_database(config, lambda conn: api_keys.create(conn, request, now))
    say(f"{key.id}, valid until {key.expires_at:%Y-%m-%d}: shown once, keep it where only its user can read it")
    emit({**_row(key), "secret": secret}, secret, as_json=as_json)


@app.command("list")
def list_keys(*, merchant: MerchantOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List API keys, newest first, revoked ones too.

    Example: `holdfast keys list --merchant mer_… --json`
    """
    from holdfast.payments import api_keys

    keys = _in_database(config, lambda conn: api_keys.page(conn, merchant, limit=1000))
    lines = [f"{key.id}  {_standing(key):<22}  {key.name}  {','.join(sorted(key.scopes))}" for key in keys]
    emit([_row(key) for key in keys], "\n".join(lines) or "no keys", as_json=as_json)


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="The key's id, `key_…`.")],
    *,
    merchant: MerchantOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """End an API key for ever. Servers notice within two seconds.

    Example: `holdfast keys revoke key_01j… --merchant mer_…`
    """
    from holdfast.payments import api_keys
    from holdfast.runtime.clock import SYSTEM_CLOCK

    key = _in_database(config, lambda conn: api_keys.revoke(conn, key_id, merchant, SYSTEM_CLOCK.now()))
    emit(_row(key), f"{key.id} revoked", as_json=as_json)


def _scope(text: str) -> Any:
    from holdfast.payments.api_keys import ApiKeyRequestInvalid, Scope

    try:
        return Scope(text)
    except ValueError:
        raise ApiKeyRequestInvalid(f"no scope {text[:40]!r}; there are {', '.join(Scope)}") from None


def _row(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "merchant": key.merchant_id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "allowed_ips": [str(network) for network in key.allowed_ips],
        "expires_at": key.expires_at.isoformat(),
        "last_used_at": key.last_used_at and key.last_used_at.isoformat(),
        "revoked_at": key.revoked_at and key.revoked_at.isoformat(),
    }


def _standing(key: ApiKey) -> str:
    return f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else f"until {key.expires_at:%Y-%m-%d}"


def _in_database(config: Path | None, work: Callable[[AsyncConnection[Any]], Awaitable[T]]) -> T:
    """Run this in one transaction on the database of the configuration."""
    from holdfast.faces.cli.open_database import with_database
    from holdfast.runtime.database import connected

    settings = load_settings(config)

    async def run() -> T:
        async with (
            with_database(settings) as access,
            connected(access.url, password=access.password) as connection,
            connection.transaction(),
        ):
            return await work(connection)

    return asyncio.run(run())
