"""The signer's own view of one network: its nodes, what a hint is worth, the fee of now. Nothing is believed unseen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from coincurve import PublicKey

from holdfast.chains.agreement import AgreeingNodes
from holdfast.chains.known_spends import known_spends
from holdfast.chains.outflow import NodeBehind, OutflowNode, Wanted
from holdfast.chains.outflow_agreement import open_outflow
from holdfast.chains.own_nodes import accesses, listed_tokens, open_reader
from holdfast.chains.port import Arrival, Header, Node, Watch
from holdfast.chains.zone_settings import NetworkAccess
from holdfast.core.addresses import deposit_address
from holdfast.core.certificates import Certificate
from holdfast.core.errors import HoldfastError
from holdfast.core.evm_transactions import address_of
from holdfast.core.journal import Body, Deposit, DepositGone, Funding, FundingGone, Mined
from holdfast.core.money import Asset, AssetId
from holdfast.core.networks import EvmNetwork, Network, network_by_id
from holdfast.policy.record import Record
from holdfast.signer.platform import DepositHint, MinedHint

RECHECK_BLOCKS = 200
"""What arrived this close below the tip is looked at again: chains change deeper than the policy's confirmations."""


@dataclass(slots=True)
class Sight:
    """One network, as the signer sees it."""

    network: Network
    reader: Node
    outflow: OutflowNode
    tokens: Mapping[str, Asset] = field(default_factory=dict)
    """Listed token contracts, lower case, and their assets."""
    looked_at_ms: int = field(default=-(10**9))
    """When the float was last looked at, by the boot clock."""

    async def close(self) -> None:
        """Close the connections."""
        await self.reader.close()
        await self.outflow.close()

    async def final_header(self, height: int, confirmations: int) -> Header | None:
        """The header at this height, once it has its confirmations; None before."""
        tip = await self.reader.tip()
        if tip.height - height + 1 < confirmations:
            return None
        headers = await self.reader.headers(height, height)
        return headers[0] if headers else None

    async def deposits(self, record: Record, hints: Sequence[DepositHint], confirmations: int) -> list[Body]:
        """Deposits that these hints point at and that are really there, final and not journaled yet."""
        found: list[Body] = []
        for height in sorted({hint.height for hint in hints}):
            header = await self.final_header(height, confirmations)
            if header is None:
                continue
            owners = _owners(record, self.network, [hint for hint in hints if hint.height == height])
            watch = self._watch(list(owners))
            [block] = await self.reader.blocks([header], watch)
            for arrival in block.arrivals:
                index, certificate = owners[arrival.address]
                if (self.network.id, arrival.key) not in record.deposits and arrival.confirmations_min <= confirmations:
                    found.append(_deposit(self.network, arrival, index, certificate, header))
        return found

    async def undone(self, record: Record) -> list[Body]:
        """Deposits, and fundings of the float, whose block left the chain after all. Raises `NodeBehind`."""
        tip = await self.reader.tip()
        arrived: list[Deposit | Funding] = [*record.deposits.values(), *record.fundings.values()]
        recent = [one for one in arrived if one.network == self.network.id and one.height > tip.height - RECHECK_BLOCKS]
        if any(one.height > tip.height for one in recent):
            raise NodeBehind(f"{self.network.name}: at height {tip.height}, and what was read before lies above")
        hashes = {}
        for height in {one.height for one in recent}:
            headers = await self.reader.headers(height, height)
            hashes[height] = headers[0].hash if headers else ""
        gone = [one for one in recent if hashes[one.height] != one.hash]
        return [
            DepositGone(one.network, one.key) if isinstance(one, Deposit) else FundingGone(one.network, one.key)
            for one in gone
        ]

    async def fundings(self, record: Record, heights: Sequence[int], confirmations: int) -> list[Body]:
        """What came to the float in these blocks and is not journaled yet."""
        address = record.floats[self.network.id].address
        wanted = Wanted(frozenset({address}), self.tokens)
        found: list[Body] = []
        for height in sorted(set(heights)):
            if await self.final_header(height, confirmations) is None:
                continue
            block = await self.outflow.block(height, wanted)
            for arrival in block.funded:
                is_change = arrival.transaction in record.transactions and not self._is_evm
                is_ripe = arrival.confirmations_min <= confirmations
                if is_ripe and not is_change and (self.network.id, arrival.key) not in record.fundings:
                    facts = (self.network.id, arrival.key, address, arrival.asset, arrival.units)
                    found.append(Funding(*facts, height=height, hash=block.header.hash))
        return found

    async def mined(self, record: Record, hints: Sequence[MinedHint], confirmations: int) -> list[Body]:
        """Our transactions that are final."""
        found: list[Body] = []
        for height in sorted({hint.height for hint in hints}):
            header = await self.final_header(height, confirmations)
            if header is None:
                continue
            ours = {hint.transaction: hint.reservation for hint in hints if hint.height == height}
            ours = {txid: seq for txid, seq in ours.items() if _is_ours(record, seq, txid)}
            for one in await self.outflow.mined(header, list(ours)):
                reserved = record.reservations[ours[one.transaction]].body
                found.append(
                    Mined(
                        reservation=ours[one.transaction],
                        transaction=one.transaction,
                        height=header.height,
                        hash=header.hash,
                        is_reverted=one.is_reverted,
                        fee_units=reserved.fee_units if one.fee_units is None else one.fee_units,
                        unpaid=_unpaid(record, reserved.payouts, one.unpaid),
                    )
                )
        return found

    async def unexplained(self, record: Record) -> Sequence[str]:
        """Spends of the float that this journal did not order."""
        return await self.outflow.unexplained(known_spends(record, record.floats[self.network.id]))

    def owner(self, record: Record) -> str:
        """The account of the float's key (EVM): it signs, and holds gas alone."""
        return address_of(PublicKey(bytes.fromhex(record.floats[self.network.id].public_key)))

    @property
    def _is_evm(self) -> bool:
        return isinstance(self.network, EvmNetwork)

    def _watch(self, addresses: Sequence[str]) -> Watch:
        return Watch(self.network.id, addresses, frozenset(addresses), self.tokens)


def open_sight(network_id: str, access: NetworkAccess) -> Sight:
    """The nodes of one network. Raises `NodeUrlMalformed`, `NodesMissing`, `NetworkUnknown`."""
    network = network_by_id(network_id)
    found = accesses(network, access.nodes)
    readers = [open_reader(network, one) for one in found]
    tokens = listed_tokens(network, access.tokens)
    return Sight(network, AgreeingNodes(readers), open_outflow(network, found), tokens)


def _owners(record: Record, network: Network, hints: Sequence[DepositHint]) -> dict[str, tuple[int, Certificate]]:
    """The addresses that these hints name, each derived anew from the certificate that grants its index."""
    found = {}
    for hint in hints:
        person = record.merchants.get(hint.merchant)
        certificate = person.newest if person is not None else None
        for grant in certificate.networks if certificate is not None else ():
            if grant.network == network.id and grant.has(hint.index) and certificate is not None:
                try:
                    found[deposit_address(network, grant.vault, hint.index)] = (hint.index, certificate)
                except HoldfastError:
                    continue  # a hint that names no possible address is worth nothing
    return found


def _deposit(network: Network, arrival: Arrival, index: int, certificate: Certificate, header: Header) -> Deposit:
    return Deposit(
        network=network.id,
        key=arrival.key,
        index=index,
        merchant=certificate.merchant,
        asset=AssetId(arrival.asset),
        units=arrival.units,
        tariff_units=arrival.units * certificate.tariff.deposit_basis_points // 10_000,
        height=header.height,
        hash=header.hash,
    )


def _is_ours(record: Record, seq: int, transaction: str) -> bool:
    one = record.reservations.get(seq)
    return one is not None and one.mined is None and one.signed is not None and one.signed.transaction == transaction


def _unpaid(record: Record, payouts: Sequence[str], lines: Sequence[int]) -> tuple[tuple[str, int], ...]:
    """From numbers in the call to places within each payout."""
    found, start = [], 0
    for payout_id in payouts:
        count = len(record.payouts[payout_id].payout.lines)
        found += [(payout_id, line - start) for line in lines if start <= line < start + count]
        start += count
    return tuple(found)
