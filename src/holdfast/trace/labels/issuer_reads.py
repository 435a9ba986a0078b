"""Asks an EVM node what an issuer could freeze: a token's balance at one block, and whether it is frozen already.

Tether's contracts answer `isBlackListed(address)`, Circle's `isBlacklisted(address)`; whoever knows neither refuses the
call, and then nothing is said about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from holdfast.chains.evm_reads import NodeStateMissing, TokenQuestion, header, token_balances, unhex
from holdfast.chains.port import NodeRefused
from holdfast.chains.rpc import RpcClient
from holdfast.core.evm import address_bytes, keccak256
from holdfast.trace.labels.where import Holding
from holdfast.trace.model import EndKind, Trace
from holdfast.trace.report.classes import issuer_of

_BLACKLISTS = tuple(keccak256(name)[:4] for name in (b"isBlackListed(address)", b"isBlacklisted(address)"))


def freezable(trace: Trace, network: str) -> list[tuple[str, str]]:
    """Addresses and assets of a trace that lie unspent on a network and that an issuer can freeze."""
    return sorted(
        {
            (end.address, end.asset)
            for end in trace.ends
            if end.network == network and end.kind is EndKind.UNSPENT and issuer_of(end.asset) is not None
        }
    )


async def read_holdings(
    rpc: RpcClient, network: str, wanted: Iterable[tuple[str, str]], block: str = "latest"
) -> Sequence[Holding]:
    """What a node says of these addresses and assets at a block: a height in hexadecimal, or `latest`.

    Raises what the node raises: it does not answer, it has pruned that block's state.
    """
    asked = list(wanted)
    if not asked:
        return ()
    there = await header(rpc, block)
    questions = [TokenQuestion(there.hash, contract_of(asset), address) for address, asset in asked]
    balances = await token_balances(rpc, questions)
    return [
        Holding(
            network=network,
            address=address,
            asset=asset,
            balance=balance,
            is_frozen=await _is_frozen(rpc, contract_of(asset), address, there.hash),
            height=there.place.height,
            block=there.hash,
            source=rpc.name,
        )
        for (address, asset), balance in zip(asked, balances, strict=True)
    ]


def contract_of(asset: str) -> str:
    """The contract in a token's CAIP-19 id."""
    return asset.rpartition(":")[2]


async def _is_frozen(rpc: RpcClient, contract: str, address: str, block: str) -> bool | None:
    for selector in _BLACKLISTS:
        call = {"to": contract, "data": "0x" + (selector + address_bytes(address).rjust(32, b"\0")).hex()}
        try:
            answer = unhex(await rpc.call(str, "eth_call", call, {"blockHash": block}))
        except (NodeRefused, NodeStateMissing):
            continue  # a contract without that function reverts
        if len(answer) == 32:
            return any(answer)
    return None
