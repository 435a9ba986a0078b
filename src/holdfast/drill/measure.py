"""Losses, as differences of balances that were read from the chains before and after.

    merchants lose what left the vault and neither went to the float nor was ordered out of it
    the company loses what left float and gas accounts beyond what merchants signed for and honest transactions' fees
    redirected inflow is what payers sent to a thief because that address was shown to them

Nothing that a zone says enters here, and nothing that the attacker says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from holdfast.drill.chain import Outside, Spend

SYMBOLS = ("rLTC", "ETH", "USDT")
DECIMALS = {"rLTC": 8, "ETH": 18, "USDT": 6}
PRICES = {"rLTC": 8_500, "ETH": 250_000, "USDT": 92}
"""Hundredths of a euro for a whole coin: the fixed rates of a local set-up."""


@dataclass(frozen=True, slots=True)
class Purses:
    """Whose addresses are whose; every mapping is by symbol."""

    vault: dict[str, set[str]]
    """Deposit addresses that were ever paid, the vault itself, and where the float may always pay back to."""
    floats: dict[str, set[str]]
    gas: set[str]
    """EVM accounts that pay for transactions."""
    thief: dict[str, str]


@dataclass(frozen=True, slots=True)
class Stand:
    """The balances at one moment, in smallest units by symbol."""

    heights: tuple[int, int]
    """Of Litecoin and of the EVM network."""
    vault: dict[str, int]
    floats: dict[str, int]
    """Float and gas accounts."""
    thief: dict[str, int]
    coins: tuple[tuple[str, int], ...]
    """The Litecoin float's coins."""


@dataclass(slots=True)
class Flows:
    """What honest people did meanwhile: the drill itself, in their place."""

    deposited: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SYMBOLS, 0))
    """Paid to addresses that the SDK had derived."""
    funded: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SYMBOLS, 0))
    """The company's own money put into the float."""
    ordered: dict[str, dict[str, int]] = field(default_factory=lambda: {symbol: {} for symbol in SYMBOLS})
    """By symbol and destination: what merchants signed for, each to an address of its own."""
    settled: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SYMBOLS, 0))
    """From vault to float, as the quorum signed."""
    from_vault: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SYMBOLS, 0))
    """Direct payouts and fees that the quorum signed for."""
    misdirected: set[str] = field(default_factory=set)
    """Addresses of a thief that payers paid, because they were shown to them."""


@dataclass(frozen=True, slots=True)
class Losses:
    """What was lost, in smallest units by symbol."""

    merchants: dict[str, int]
    company: dict[str, int]
    redirected: dict[str, int]
    stolen: tuple[str, ...]
    """Transactions that paid the thief out of the float."""


async def stand(outside: Outside, purses: Purses) -> Stand:
    """The balances now, in blocks. Raises what the nodes raise."""
    vault, floats, thief = {}, {}, {}
    for symbol in SYMBOLS:
        vault[symbol] = await outside.balance(symbol, purses.vault[symbol])
        own = purses.floats[symbol] | (purses.gas if symbol == "ETH" else set())
        floats[symbol] = await outside.balance(symbol, own)
        thief[symbol] = await outside.balance(symbol, [purses.thief[symbol]])
    coins = await outside.coins(sorted(purses.floats["rLTC"]))
    heights = (await outside.litecoin.height(), await outside.evm.height())
    return Stand(heights, vault, floats, thief, tuple(coins))


async def losses(
    outside: Outside, purses: Purses, before: Stand, flows: Flows, *, fees_are_loss: bool = False
) -> Losses:
    """What was lost since. Raises what the nodes raise."""
    now = await stand(outside, purses)
    fees, stolen = await _fees(outside, purses, before, flows)
    company, merchants, redirected = {}, {}, {}
    for symbol in SYMBOLS:
        paid = await _paid(outside, symbol, flows.ordered[symbol])
        went = before.floats[symbol] + flows.funded[symbol] + flows.settled[symbol] - now.floats[symbol]
        left = before.vault[symbol] + flows.deposited[symbol] - now.vault[symbol]
        left -= flows.settled[symbol] + flows.from_vault[symbol]
        merchants[symbol] = max(0, left)
        swept = max(0, -left)  # from the float back to the vault: the company's claim on it
        company[symbol] = max(0, went - paid - swept - (0 if fees_are_loss else fees[symbol]))
        redirected[symbol] = await outside.balance(symbol, _like(symbol, flows.misdirected))
    return Losses(merchants, company, redirected, tuple(stolen))


def fiat(units: Mapping[str, int]) -> int:
    """In hundredths of a euro, rounded up."""
    return sum(-(-each * PRICES[symbol] // 10 ** DECIMALS[symbol]) for symbol, each in units.items())


def _like(symbol: str, addresses: Iterable[str]) -> set[str]:
    """Those that are addresses of the asset's network."""
    return {one for one in addresses if one.startswith("0x") == (symbol != "rLTC")}


async def _paid(outside: Outside, symbol: str, ordered: Mapping[str, int]) -> int:
    """What arrived where merchants had ordered it, and no more than was ordered: more is a loss."""
    return sum([min(units, await outside.balance(symbol, [to])) for to, units in ordered.items()])


async def _fees(outside: Outside, purses: Purses, before: Stand, flows: Flows) -> tuple[dict[str, int], list[str]]:
    """Fees of transactions that pay nobody but whom they should, and the transactions that pay somebody else."""
    (address,) = purses.floats["rLTC"]
    known = {*purses.vault["rLTC"], *purses.floats["rLTC"], *flows.ordered["rLTC"]}
    spends = await outside.spends(address, before.coins, before.heights[0])
    stolen = [one.transaction for one in spends if not _is_honest(one, known)]
    fees = {"rLTC": sum(one.fee_units for one in spends if _is_honest(one, known)), "ETH": 0, "USDT": 0}
    thieves = {one[2:].lower() for one in purses.thief.values() if one.startswith("0x")}
    for sent, wei in await outside.evm_sent(purses.gas, before.heights[1]):
        said = f"{sent.to or ''}{sent.input}".lower()
        if any(one in said for one in thieves):
            stolen.append(sent.hash)
        else:
            fees["ETH"] += wei
    return fees, stolen


def _is_honest(spend: Spend, known: set[str]) -> bool:
    return all(address in known for address, _ in spend.paid)
