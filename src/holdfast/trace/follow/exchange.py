"""Swaps without knowing any exchange: who ended a transaction with less of one asset and more of another. Pure.

Everybody's net change of every asset is counted over all logs and calls of the transaction. Who only passed things on
has none. Who gained one asset and lost another is where it was exchanged: the theft's share of what came in is the
theft's share of what went out. A mint or burn counts as the token contract's own loss or gain, so that wrapping,
lending and pools need no rule of their own. Where several assets go in (liquidity), each weighs the same: there is no
price here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import msgspec

from holdfast.trace.follow.ledger import SHARES, Packet, together
from holdfast.trace.model import Movement, Transfer
from holdfast.trace.taint import Policy

ZERO = "0x0000000000000000000000000000000000000000"
"""Where tokens come from and go to (ERC-20: mint and burn)."""
IMPLIED = "implied by what was paid to the wrapping contract"
Holding = tuple[str, str]
"""Address and asset."""


def contract_of(asset: str) -> str:
    """The contract of a token, by its CAIP-19 id; empty for coins."""
    space, _, reference = asset.partition("/")[2].partition(":")
    return reference if space in {"erc20", "erc721", "erc1155"} else ""


@dataclass(slots=True)
class Plan:
    """Who gives and who gets in one transaction."""

    nets: dict[str, dict[str, int]]
    """By asset and address: what it has more (or less) after."""
    origins: dict[Holding, int]
    """Tainted holdings that end with less, and how much."""
    converters: dict[str, tuple[tuple[str, ...], tuple[str, ...]]]
    """Addresses that gave one asset for another: what they gained, what they lost."""
    is_sure: bool = True
    """False: what was minted is taken to be for what was paid, because nothing else was got."""


@dataclass(slots=True)
class Routed:
    """Where the theft's share went."""

    deliveries: dict[Holding, Packet] = field(default_factory=dict)
    gave: dict[str, Packet] = field(default_factory=dict)
    got: dict[str, Packet] = field(default_factory=dict)
    vanished: dict[str, Packet] = field(default_factory=dict)
    """What nobody is seen to have got (a source that shows only a part)."""


def wrapping_not_told(rows: Sequence[Transfer], contracts: Collection[str], coin: str) -> list[Transfer]:
    """Movements that sources often do not tell and that cannot be otherwise: of contracts that wrap a network's coin.

    Coin that is paid to such a contract becomes its token (exports list no mint); its token that is given back becomes
    coin (only nodes that tell calls show it). `contracts`: in small letters. Their memo says that they are implied.
    """
    added = []
    for row in rows:
        contract = contract_of(row.asset)
        if contract.lower() in contracts and row.target in {ZERO, contract}:
            source, asset = contract, coin
        elif row.asset == coin and row.target.lower() in contracts and row.movement is not Movement.FEE:
            source, asset = row.target, f"{row.network}/erc20:{row.target}"
        else:
            continue
        is_told = any(each.asset == asset and each.source in {source, ZERO} and each.units for each in rows)
        if not is_told and row.units:
            implied = msgspec.structs.replace(row, source=source, target=row.source, asset=asset, memo=IMPLIED)
            added.append(msgspec.structs.replace(implied, movement=Movement.INTERNAL, evidence=""))
    return added


def plan(rows: Sequence[Transfer], tainted: Collection[Holding], is_service: Callable[[str], bool]) -> Plan | None:
    """What was exchanged in a transaction that moves tainted holdings; None: nothing was."""
    found = _planned(rows, tainted, {})
    if found is not None and not _reaches(found):
        joined = _minted_for(found, is_service)
        again = _planned(rows, tainted, joined) if joined else None
        if again is None or not _reaches(again):
            return None
        again.is_sure = False
        return again
    return found


def _planned(rows: Sequence[Transfer], tainted: Collection[Holding], joined: dict[str, str]) -> Plan | None:
    nets: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        if row.movement is Movement.FEE or not row.units:
            continue
        contract = contract_of(row.asset)
        source = contract if row.source == ZERO and contract else row.source
        target = contract if row.target == ZERO and contract else row.target
        nets[row.asset][joined.get(source, source)] -= row.units
        nets[row.asset][joined.get(target, target)] += row.units
    origins = {(who, asset): -nets[asset][who] for who, asset in sorted(tainted) if nets[asset].get(who, 0) < 0}
    if not origins or len(nets) < 2:
        return None
    gains: dict[str, list[str]] = defaultdict(list)
    losses: dict[str, list[str]] = defaultdict(list)
    for asset in sorted(nets):
        for who, units in nets[asset].items():
            if units:
                (gains if units > 0 else losses)[who].append(asset)
    own = {who for who, _ in origins}
    converters = {who: (tuple(gains[who]), tuple(losses[who])) for who in gains if who in losses and who not in own}
    return Plan({asset: dict(each) for asset, each in nets.items()}, origins, converters)


def _reaches(found: Plan) -> bool:
    return any(asset in found.converters[who][0] for who in found.converters for _, asset in found.origins)


def _minted_for(found: Plan, is_service: Callable[[str], bool]) -> dict[str, str]:
    """Token contracts that minted for an origin, each with the service that took the payment."""
    joined = {}
    for payer, paid in found.origins:
        takers = [who for who, units in found.nets[paid].items() if units > 0 and is_service(who)]
        for asset, nets in found.nets.items():
            contract = contract_of(asset)
            if takers and contract and nets.get(contract, 0) < 0 and nets.get(payer, 0) > 0:
                joined[contract] = max(takers, key=lambda who: (found.nets[paid][who], who))
    return joined


def route(found: Plan, packets: dict[Holding, Packet]) -> Routed:
    """Where what the origins gave ends, asset by asset."""
    routed = Routed()
    gained: dict[str, dict[str, Packet]] = defaultdict(dict)
    for asset in _order(found):
        payments = [packet for (_, paid), packet in packets.items() if paid == asset]
        bought = [
            _given(found, who, asset, gained[who]) for who, (_, lost) in found.converters.items() if asset in lost
        ]
        if any(each.is_tainted for each in bought):
            routed.got[asset] = together(bought)
        pot = together([*payments, *bought])
        getters = [(who, units) for who, units in sorted(found.nets[asset].items()) if units > 0]
        left = sum(units for _, units in getters)
        pot.units = max(pot.units, left)
        for who, units in getters:
            share = pot.part(units, pot.units)
            if who in found.converters:
                gained[who][asset] = share
                routed.gave[asset] = together([routed.gave.get(asset, Packet(0)), share])
            else:
                routed.deliveries[who, asset] = share
        if pot.is_tainted:
            routed.vanished[asset] = pot
    return routed


def _order(found: Plan) -> list[str]:
    """Assets that the theft's share can reach, each after those that it is bought with."""
    edges = {(bought, lost) for gained, losses in found.converters.values() for bought in gained for lost in losses}
    pending = {asset for _, asset in found.origins}
    while more := {lost for bought, lost in edges if bought in pending} - pending:
        pending |= more
    order = []
    while pending:
        free = [each for each in pending if not any((other, each) in edges for other in pending - {each})]
        order.append(min(free or pending))
        pending.remove(order[-1])
    return order


def _given(found: Plan, who: str, asset: str, gained: dict[str, Packet]) -> Packet:
    """What an exchange paid of one asset, with the shares of what it took."""
    units = -found.nets[asset][who]
    shares = [gained[each].scaled(units) for each in found.converters[who][0] if each in gained]
    paid = Packet(units, units if any(each.poison for each in shares) else 0)
    kinds = len(found.converters[who][0])
    if shares:
        paid.haircut = sum(each.haircut for each in shares) // kinds
        paid.fifo = sum(each.fifo for each in shares) // kinds
        paid.suspect = sum(each.suspect for each in shares) // kinds
        paid.most = max(each.most for each in shares)
        paid.least = min(each.least for each in shares) if len(shares) == kinds else 0
    return paid


def is_wrap(found: Plan, routed: Routed) -> bool:
    """One for one, at the token's own contract: the same money in another form."""
    if len(routed.gave) != 1 or len(routed.got) != 1:
        return False
    (gave, into), (got, out) = *routed.gave.items(), *routed.got.items()
    contracts = {contract_of(gave), contract_of(got)} - {""}
    return into.units == out.units and not contracts.isdisjoint(found.converters)


def allotted(packet: Packet, rows: Sequence[Transfer]) -> list[dict[str, int]]:
    """Of several transfers that moved it together: how much of it each is said to have carried, in proportion."""
    left = {policy: packet.by(policy) for policy in SHARES}
    units = sum(row.units for row in rows)
    found = []
    for row in rows:
        carried = {Policy.POISON.value: row.units if packet.poison else 0}
        for policy in SHARES:
            part = left[policy] * row.units // units if units else 0
            left[policy] -= part
            carried[policy.value] = part
        units -= row.units
        found.append(carried)
    return found
