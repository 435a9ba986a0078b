"""The checking machine's own eyes: every deposit, every mined payout and every settlement is found on its own nodes.

The evidence says where to look; what counts is what is there. Anything that the float paid and the evidence does not
explain blocks every settlement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from holdfast.chains.bitcoin_scripts import script_of
from holdfast.chains.granted import granted_address
from holdfast.chains.known_spends import known_spends
from holdfast.chains.outflow import OutflowBlock, OutflowNode, Wanted
from holdfast.chains.port import Node, Watch
from holdfast.core import bitcoin
from holdfast.core.descriptors import Branch, Place, VaultDescriptor
from holdfast.core.errors import Conflict
from holdfast.core.evm import address_bytes
from holdfast.core.journal import Deposit, Mined
from holdfast.core.money import Asset, AssetId
from holdfast.core.networks import BitcoinNetwork, Network
from holdfast.policy.record import PAYOUT, Record
from holdfast.vault.claims import Claim
from holdfast.vault.evidence import Evidence

CHANGE_AHEAD = 50
"""Change addresses of the vault that are looked for beyond the last one that was paid."""


class EvidenceUnproved(Conflict):
    """The evidence tells of something that is not on this machine's own chain. Settle nothing; call the officers."""

    code = "evidence-unproved"


class SettlementBlocked(Conflict):
    """The float was spent by somebody else, or the signer stopped. Rotate the float's key before you settle."""

    code = "settlement-blocked"


@dataclass(frozen=True, slots=True)
class Coin:
    """An output that lies in the vault (Bitcoin family)."""

    outpoint: str
    place: Place
    units: int
    height: int


@dataclass(slots=True)
class Found:
    """What is on the chain of one network, up to a height."""

    height: int = 0
    coins: dict[str, Coin] = field(default_factory=dict)
    """The vault's own, by outpoint: what can be spent (Bitcoin family)."""
    float_units: int = 0
    """What lies at the floats (Bitcoin family)."""
    float_coins: dict[str, int] = field(default_factory=dict)
    settled: dict[str, int] = field(default_factory=dict)
    """By asset: from the vault to the float, ever."""
    vault_fees_units: int = 0
    change_used: int = 0
    """Change addresses below this index have been paid."""


@dataclass(slots=True)
class Eyes:
    """One network through the officers' own nodes."""

    network: Network
    reader: Node
    outflow: OutflowNode
    tokens: dict[str, Asset]
    """Listed contracts, lower case (EVM)."""
    descriptor: str = ""
    """The vault, from the officers' own files (Bitcoin family)."""
    safe: str = ""
    birth_height: int = 0
    """No money came to vault or float before this block."""

    async def prove(self, evidence: Evidence, confirmations: int) -> None:
        """Find every deposit and every mined transaction of this network. Raises `EvidenceUnproved`."""
        deposits = [one for one in evidence.record.deposits.values() if one.network == self.network.id]
        await self._prove_deposits(evidence.record, deposits, confirmations)
        for body in evidence.mined:
            if evidence.record.reservations[body.reservation].body.network == self.network.id:
                await self._prove_mined(evidence, body, confirmations)

    async def refuse_strangers(self, record: Record) -> None:
        """Raises `SettlementBlocked` for a spend of the float that the journal does not have, and for a stopped one."""
        if record.is_stopped(self.network.id):
            raise SettlementBlocked(record.stopped.get(self.network.id, record.stopped.get("*", "")))
        found = await self.outflow.unexplained(known_spends(record, record.floats[self.network.id]))
        if found:
            raise SettlementBlocked("; ".join(found)[:400])

    async def scan(self, record: Record, found: Found, confirmations: int) -> Found:
        """Follow vault and floats on, block by block, up to the newest final one (Bitcoin family)."""
        if not isinstance(self.network, BitcoinNetwork):
            return found
        tip = await self.reader.tip()
        floats = {
            key.address for key in (record.floats[self.network.id], *record.old_floats) if self._is_here(key.network)
        }
        deposits = {one.key: one for one in record.deposits.values() if one.network == self.network.id}
        for height in range(max(found.height + 1, self.birth_height), tip.height - confirmations + 2):
            await self._scan_block(height, found, floats, deposits)
        return found

    def _is_here(self, network: str) -> bool:
        return network == self.network.id

    async def _scan_block(self, height: int, found: Found, floats: set[str], deposits: dict[str, Deposit]) -> None:
        assert isinstance(self.network, BitcoinNetwork)  # noqa: S101  `scan` has asked
        vault = VaultDescriptor.parse(self.descriptor)
        change = {
            vault.address(index, self.network, Branch.CHANGE): index
            for index in range(found.change_used + CHANGE_AHEAD)
        }
        for one in deposits.values():
            if one.height == height:
                found.coins[one.key] = Coin(one.key, Place(Branch.DEPOSIT, one.index), one.units, height)
        outpoints = frozenset(found.coins) | frozenset(found.float_coins)
        block = await self.outflow.block(height, Wanted(addresses=frozenset(floats | set(change)), outpoints=outpoints))
        self._take(found, block, change)
        found.height = height

    def _take(self, found: Found, block: OutflowBlock, change: Mapping[str, int]) -> None:
        """What a block moved: what vault and float lost, then what each got, and what the network took."""
        by_vault: dict[str, int] = {}
        for spent in block.spent:
            if spent.source in found.coins:
                coin = found.coins.pop(spent.source)
                by_vault[spent.transaction] = by_vault.get(spent.transaction, 0) + coin.units
            else:
                found.float_units -= found.float_coins.pop(spent.source)
        for arrival in block.funded:
            transaction = arrival.transaction or ""
            if arrival.address in change:
                index = change[arrival.address]
                found.change_used = max(found.change_used, index + 1)
                found.coins[arrival.key] = Coin(
                    arrival.key, Place(Branch.CHANGE, index), arrival.units, block.header.height
                )
            else:
                found.float_coins[arrival.key] = arrival.units
                found.float_units += arrival.units
                if transaction in by_vault:
                    found.settled[arrival.asset] = found.settled.get(arrival.asset, 0) + arrival.units
            if transaction in by_vault:
                by_vault[transaction] -= arrival.units
        found.vault_fees_units += sum(by_vault.values())

    async def _prove_deposits(self, record: Record, deposits: Sequence[Deposit], confirmations: int) -> None:
        tip = await self.reader.tip()
        for height in sorted({one.height for one in deposits}):
            mine = {self._address(record, one): one for one in deposits if one.height == height}
            headers = await self.reader.headers(height, height)
            if not headers or tip.height - height + 1 < confirmations:
                raise EvidenceUnproved(f"deposits at height {height} are not final")
            watch = Watch(self.network.id, list(mine), frozenset(mine), self.tokens)
            [block] = await self.reader.blocks([headers[0]], watch)
            there = {(one.key, one.asset, one.units, one.address) for one in block.arrivals}
            for one in (each for each in deposits if each.height == height):
                if (one.key, one.asset, one.units, self._address(record, one)) not in there:
                    raise EvidenceUnproved(f"deposit {one.key} of {one.merchant}")

    def _address(self, record: Record, deposit: Deposit) -> str:
        address = granted_address(record, self.network, deposit.merchant, deposit.index)
        if address is None:
            raise EvidenceUnproved(f"index {deposit.index} is not {deposit.merchant}'s")
        return address

    async def _prove_mined(self, evidence: Evidence, body: Mined, confirmations: int) -> None:
        tip = await self.reader.tip()
        headers = await self.reader.headers(body.height, body.height)
        if not headers or tip.height - body.height + 1 < confirmations:
            raise EvidenceUnproved(f"transaction {body.transaction} is not final")
        seen = await self.outflow.mined(headers[0], [body.transaction])
        if not seen or (seen[0].is_reverted, len(seen[0].unpaid)) != (body.is_reverted, len(body.unpaid)):
            raise EvidenceUnproved(
                f"transaction {body.transaction} is not in block {headers[0].hash}, or ended otherwise"
            )
        if isinstance(self.network, BitcoinNetwork):
            self._prove_outputs(evidence, body)

    def _prove_outputs(self, evidence: Evidence, body: Mined) -> None:
        """The id of a SegWit transaction commits to its outputs: the lines that merchants signed, and change."""
        assert isinstance(self.network, BitcoinNetwork)  # noqa: S101  the caller has asked
        reserved = evidence.record.reservations[body.reservation].body
        data = bytes.fromhex(reserved.transaction)
        if self.network.hrp is not None and bitcoin.txid(data) != body.transaction:
            raise EvidenceUnproved(f"transaction {body.transaction} is not the one that was reserved")
        if reserved.purpose != PAYOUT:
            return
        outputs = [(one.script, one.units) for one in bitcoin.read_unsigned(data).outputs]
        if reserved.change_index is not None:
            outputs.pop(reserved.change_index)
        ordered = [line for payout in reserved.payouts for line in evidence.ordered[payout].lines]
        lines = [(line.destination, line.units) for line in ordered]
        if sorted(outputs) != sorted((script_of(self.network, address), units) for address, units in lines):
            raise EvidenceUnproved(f"transaction {body.transaction} pays other lines than merchants signed")


def claim_of(evidence: Evidence, asset: str, found: Found, direct_units: int = 0) -> Claim:
    """The claim on one asset, of what was proved. `direct_units`: what the vault paid for merchants, not for itself."""
    payouts = fees = returned = 0
    for body in evidence.mined:
        reserved = evidence.record.reservations[body.reservation].body
        if reserved.asset != asset or body.is_reverted:
            continue
        returned += reserved.out_units if reserved.purpose == "cap-sweep" else 0
        unpaid = set(body.unpaid)
        for payout in reserved.payouts:
            ordered = evidence.ordered[payout]
            fees += ordered.fee_units
            payouts += sum(line.units for at, line in enumerate(ordered.lines) if (payout, at) not in unpaid)
    is_coin = "/slip44:" in asset
    fees_of_vault = max(0, found.vault_fees_units - direct_units)
    return Claim(payouts, fees, returned, found.settled.get(asset, 0), fees_of_vault if is_coin else 0)


def entitled_units(record: Record, asset: str) -> int:
    """What all merchants together may still order out, and what they have ordered and is not final."""
    left = sum(max(0, units) for (_, name), units in record.entitlements.items() if name == asset)
    return left + sum(one.charged_units for one in record.payouts.values() if one.payout.asset == asset)


def tokens_of(assets: Sequence[Asset]) -> dict[str, Asset]:
    """Listed token contracts, lower case, and their assets."""
    found = {}
    for asset in assets:
        _, mark, contract = asset.id.partition("/erc20:")
        if mark:
            found["0x" + address_bytes(contract).hex()] = Asset(AssetId(asset.id), asset.symbol, asset.decimals)
    return found
