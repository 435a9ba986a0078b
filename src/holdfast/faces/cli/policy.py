"""`holdfast policy`: what the officers' document allows, in words, before they sign it and while it counts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.core.errors import BadInput, NotFound
from holdfast.faces.cli.terminal import ConfigOption, JsonOption, emit, load_settings

if TYPE_CHECKING:
    from holdfast.policy.bound import AssetBound
    from holdfast.policy.document import Policy
    from holdfast.policy.record import Record
    from holdfast.runtime.settings import Settings

app = typer.Typer(help="Read, check and explain policies.", no_args_is_help=True)
HOUR_SECONDS = 3600


class PolicyMissing(NotFound):
    """No policy is in force: nothing is paid out. Have the officers sign one and hand it in."""

    code = "policy-missing"


class PolicyUnreadable(BadInput):
    """The policy's file cannot be read. Check its path."""

    code = "policy-unreadable"


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(help="The policy, a TOML file.")],
    *,
    against: Annotated[
        Path | None, typer.Option(help="The policy that counts now: what the new one loosens is listed.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether a policy loads, and everything in which it is looser than another.

    Example: `holdfast policy check policy.toml --against policy-before.toml`
    """
    from holdfast.policy.document import loosenings

    new = _read(file)
    looser = loosenings(_read(against), new) if against is not None else []
    text = [f"version {new.version}, sha256 {new.hash}", *(f"looser: {what}" for what in looser)]
    emit({"version": new.version, "sha256": new.hash, "looser": looser}, "\n".join(text), as_json=as_json)


@app.command("explain")
def explain(
    file: Annotated[
        Path | None, typer.Argument(help="A policy; without it, the one in force on this platform.")
    ] = None,
    *,
    seconds: Annotated[int, typer.Option(min=1, help="The time from the first theft to the freeze.")] = HOUR_SECONDS,
    currency: Annotated[str, typer.Option(help="Currency of the one figure.")] = "EUR",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print in words what an attacker could take under the policy and the balances of now.

    Example: `holdfast policy explain --seconds 600 --config shop/holdfast.toml`
    """
    settings = load_settings(config)
    record = asyncio.run(_record(settings))
    policies = _in_force(record) if file is None else [_read(file)]
    from holdfast.policy.bound import bounds

    found = bounds(policies, record, seconds)
    prices = asyncio.run(_prices(settings, [one.symbol for one in found], currency))
    facts = _facts(found, prices, seconds, currency)
    emit(facts, "\n".join(_words(policies, found, facts)), as_json=as_json)


async def loss_bound(settings: Settings, seconds: int = HOUR_SECONDS, currency: str = "EUR") -> dict[str, object]:
    """The facts that `explain` prints, for other commands. Raises `PolicyMissing` and what the database raises."""
    from holdfast.policy.bound import bounds

    record = await _record(settings)
    found = bounds(_in_force(record), record, seconds)
    return _facts(found, await _prices(settings, [one.symbol for one in found], currency), seconds, currency)


def _read(file: Path) -> Policy:
    from holdfast.policy.document import read_policy

    try:
        return read_policy(file.read_bytes())
    except OSError as error:
        raise PolicyUnreadable(f"{file}: {error.strerror}") from None


def _in_force(record: Record) -> list[Policy]:
    from holdfast.policy.people import Times
    from holdfast.runtime.clock import SYSTEM_CLOCK

    now = int(SYSTEM_CLOCK.now().timestamp())
    policies = record.policies.in_force(Times(now, now))
    if not policies:
        raise PolicyMissing
    return policies


async def _record(settings: Settings) -> Record:
    """What the platform's copy of the signer's journal says."""
    from holdfast.core.journal import read_entries
    from holdfast.payments import mirror
    from holdfast.policy.record import Record
    from holdfast.runtime.database import connected
    from holdfast.runtime.database_access import platform_access

    record, access = Record(), platform_access(settings.database)
    async with connected(access.url, password=access.password) as connection:
        while stored := await mirror.stored(connection, record.head.seq, 1_000):
            for entry in read_entries(record.head, stored):
                record.apply(entry)
    return record


async def _prices(settings: Settings, symbols: list[str], currency: str) -> dict[str, int]:
    """What a whole coin costs, in hundredths of the currency; without those that no source prices."""
    from holdfast.core.errors import HoldfastError
    from holdfast.payments.rate_sources import open_rates
    from holdfast.runtime.clock import SYSTEM_CLOCK

    prices = {}
    async with open_rates(settings.rates, SYSTEM_CLOCK) as rates:
        for symbol in symbols:
            try:
                rate = await rates.rate(symbol, currency)
            except HoldfastError:
                continue
            prices[symbol] = -(-rate.value * 100 // 10**12)
    return prices


def _facts(found: list[AssetBound], prices: dict[str, int], seconds: int, currency: str) -> dict[str, object]:
    from holdfast.core.money import format_units
    from holdfast.policy.bound import FIAT_DECIMALS, total_fiat_units

    def whole(units: int, one: AssetBound) -> str:
        return format_units(units, one.decimals)

    def fiat(*, is_owned: bool) -> str | None:
        total = total_fiat_units(found, prices, is_owned=is_owned)
        return None if total is None else format_units(total, FIAT_DECIMALS)

    return {
        "seconds": seconds,
        "currency": currency,
        "merchants_lose": "0",
        "signer_honest": fiat(is_owned=False),
        "signer_owned": fiat(is_owned=True),
        "assets": {
            one.symbol: {
                "asset": one.asset, "released": whole(one.released_units, one), "burst": whole(one.burst_units, one),
                "refill": whole(one.refill_units, one), "fees": whole(one.fee_units, one),
                "float": whole(one.float_units, one), "float_cap": whole(one.cap_units, one),
                "signer_honest": whole(one.honest_units, one), "signer_owned": whole(one.owned_units, one),
            }
            for one in found
        },
    }  # fmt: skip


def _words(policies: list[Policy], found: list[AssetBound], facts: dict[str, object]) -> list[str]:
    from holdfast.core.money import format_units
    from holdfast.policy.document import time_text

    lines = [
        f"Policy version {policies[0].version}, until {time_text(policies[0].expires_at)}"
        + (f"; {len(policies) - 1} looser one waits, both must allow" if len(policies) > 1 else ""),
        "",
        f"If payouts are frozen {facts['seconds']} seconds after the first theft:",
        "",
        "Merchants lose 0: no online key can move the vault.",
        "Who owns the platform takes 0 of the company's money without a merchant's signature.",
        "Who owns a merchant's key takes what that merchant has, up to his own limit.",
        "",
        "Who has merchants' signatures for it (a colluding merchant's, a stolen key's) takes at most, of the float:",
    ]
    for one in found:
        parts = (one.released_units, one.burst_units, one.refill_units)
        released, burst, refill = (format_units(units, one.decimals) for units in parts)
        fees = f", and {format_units(one.fee_units, one.decimals)} in fees" if one.fee_units else ""
        lines.append(
            f"  {one.symbol:8} {format_units(one.honest_units, one.decimals)}"
            f"  (released {released} + burst {burst} + refill {refill}, no more than the float{fees})"
        )
    lines += ["", "Who owns the signer or the float keys takes the float, at most its cap, and settlements in flight:"]
    for one in found:
        owned, now = (format_units(units, one.decimals) for units in (one.owned_units, one.float_units))
        lines.append(f"  {one.symbol:8} {owned}  (in the float now: {now})")
    if facts["signer_owned"] is not None:
        lines += ["", f"In one figure: {facts['signer_honest']} {facts['currency']} with an honest signer,"]
        lines += [f"{facts['signer_owned']} {facts['currency']} with the signer in the attacker's hands."]
    lines += ["", *HONEST_LIMITS]
    return lines


HONEST_LIMITS = (
    "No bound holds for addresses: a platform in an attacker's hands can show payers his. The merchants' SDK derives",
    "each address again and refuses; on the hosted checkout nothing does, and what payers send there is lost to them.",
    "The officers' quorum itself is trusted, up to one member less than must sign.",
)
