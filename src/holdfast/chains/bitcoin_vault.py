"""What a node of the Bitcoin family says about the vault. Transactions are read as bytes and proven by their ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from embit.base import EmbitError
from embit.transaction import Transaction

from holdfast.chains.bitcoin import BitcoinAccess
from holdfast.chains.bitcoin_blocks import BytesMalformed, transaction_id
from holdfast.chains.bitcoin_scripts import ScriptWithoutAddress, address_of
from holdfast.chains.port import Header, NodeAnswerMalformed, NodeBlockGone, NodeRefused
from holdfast.chains.rpc import Call, Credentials, RpcClient
from holdfast.chains.vault_reads import Places, VaultPayment
from holdfast.core.errors import BadInput
from holdfast.core.money import AssetId, parse_units
from holdfast.core.networks import BitcoinNetwork

_RAW = False
_WITHOUT_MEMPOOL = False
_CALLS_AT_ONCE = 500


class _Output(msgspec.Struct):
    best: str = msgspec.field(name="bestblock")
    value: msgspec.Raw = msgspec.Raw(b"")


_MAYBE_OUTPUT: type[_Output | None] = _Output | None  # type: ignore[assignment]  # a union is no type to mypy


class BitcoinVaultNode:
    """One full node of the Bitcoin family, as a `vault_reads.VaultNode`."""

    def __init__(self, access: BitcoinAccess, network: BitcoinNetwork) -> None:
        """Connects at the first question. Raises `NodeUrlMalformed`."""
        credentials = Credentials(access.cookie_file, access.user, access.password_file)
        self._rpc = RpcClient(access.url, name=access.name, credentials=credentials)
        self._network = network
        self.name = self._rpc.name

    async def paid(self, header: Header, spenders: Sequence[str]) -> Sequence[VaultPayment]:
        """Every output of these transactions, which are in this block."""
        calls: list[Call] = [("getrawtransaction", (each, _RAW, header.hash)) for each in spenders]
        found: list[VaultPayment] = []
        for transaction, answer in zip(spenders, await self._rpc.batch(str, calls), strict=True):
            if isinstance(answer, NodeRefused):
                raise NodeBlockGone(answer.detail)
            found += self._outputs(transaction, answer)
        return found

    async def lying(self, header: Header, places: Places) -> Mapping[tuple[str, AssetId], int] | None:
        """Which of these outputs are unspent, and their units (`gettxout`, which knows the newest block alone)."""
        found: dict[tuple[str, AssetId], int] = {}
        if await self._rpc.call(str, "getbestblockhash") != header.hash:
            return None
        for start in range(0, len(places.outpoints), _CALLS_AT_ONCE):
            part = places.outpoints[start : start + _CALLS_AT_ONCE]
            calls: list[Call] = [("gettxout", (*_split(outpoint), _WITHOUT_MEMPOOL)) for outpoint in part]
            for outpoint, answer in zip(part, await self._rpc.batch(_MAYBE_OUTPUT, calls), strict=True):
                if isinstance(answer, NodeRefused):
                    raise answer
                if answer is not None:
                    if answer.best != header.hash:
                        return None
                    found[outpoint, self._network.coin.id] = self._units(answer.value)
        # An output that is not there says nothing of the block it was looked for at: the newest must still be the same.
        return found if await self._rpc.call(str, "getbestblockhash") == header.hash else None

    async def close(self) -> None:
        """Close the connections."""
        await self._rpc.close()

    def _outputs(self, transaction: str, raw: str) -> list[VaultPayment]:
        try:
            data = bytes.fromhex(raw)
            if transaction_id(data) != transaction:
                raise NodeAnswerMalformed(f"{self.name}: transaction {transaction}: its bytes have another id")
            outputs = Transaction.parse(data).vout
        except (ValueError, BytesMalformed, EmbitError) as error:
            raise NodeAnswerMalformed(f"{self.name}: transaction {transaction}: {error}") from None
        coin = self._network.coin.id
        return [
            VaultPayment(
                transaction, f"{transaction}:{place}", self._address(output.script_pubkey.data), coin, int(output.value)
            )
            for place, output in enumerate(outputs)
        ]

    def _address(self, script: bytes) -> str | None:
        try:
            return address_of(self._network, script)
        except ScriptWithoutAddress:
            return None

    def _units(self, raw: msgspec.Raw) -> int:
        """An amount as the node wrote it, never through a float."""
        try:
            return parse_units(bytes(raw).decode(), self._network.coin.decimals)
        except BadInput:
            raise NodeAnswerMalformed(f"{self.name}: an amount of {bytes(raw)[:40]!r}") from None


def _split(outpoint: str) -> tuple[str, int]:
    transaction, _, place = outpoint.partition(":")
    return transaction, int(place)
