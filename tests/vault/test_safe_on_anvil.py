"""The officers' Safe on a real chain: it hashes as they do, and pays what they signed, once, with enough of them."""

from dataclasses import dataclass, replace

import msgspec
import pytest

from fixtures_vault import ADA, BO, CY, PLAN, SAFE, STRANGER, check_of
from holdfast.chains.evm_contracts import COIN, encode_bytes, selector, word
from holdfast.chains.evm_deploy import deploy, deploy_local_contract, token_arguments
from holdfast.chains.evm_house import GasAccount, HouseTransactionRefused
from holdfast.chains.evm_transactions import address_of_key
from holdfast.chains.localnet import AnvilNode
from holdfast.chains.rpc import RpcClient
from holdfast.core.evm import address_bytes, checksum
from holdfast.vault.officers import OfficerSecret, evm_key
from holdfast.vault.safe import SafeDraft, SafePayment, combine, draft_of, finalise, sign

pytestmark = [pytest.mark.node, pytest.mark.slow, pytest.mark.xdist_group("anvil")]

GAS_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")  # anvil's first, public
FLOAT = checksum(b"\xf1" * 20)
COINS = 5 * 10**18
TOKENS = 250_000_000


def padded(address: str) -> bytes:
    return address_bytes(address).rjust(32, b"\0")


@dataclass(frozen=True)
class Chain:
    """The Safe, with coin and a token in it."""

    node: AnvilNode
    token: str

    async def asked(self, to: str, signature: str, *arguments: bytes) -> bytes:
        data = "0x" + (selector(signature) + b"".join(arguments)).hex()
        return bytes.fromhex((await self.node.call("eth_call", {"to": to, "data": data}, "latest"))[2:])

    async def nonce(self) -> int:
        return int.from_bytes(await self.asked(SAFE.address, "nonce()"), "big")

    async def coins(self, address: str) -> int:
        return int(await self.node.call("eth_getBalance", address, "latest"), 16)

    async def tokens(self, address: str) -> int:
        return int.from_bytes(await self.asked(self.token, "balanceOf(address)", padded(address)), "big")

    async def send(self, call: bytes) -> None:
        """Bring a call to the Safe from the gas account."""
        rpc = RpcClient(self.node.rpc_url)
        try:
            await GasAccount(rpc, GAS_KEY).send(SAFE.address, call)
        finally:
            await rpc.close()


@pytest.fixture
async def chain(anvil_node: AnvilNode) -> Chain:
    await deploy(anvil_node.rpc_url, PLAN, GAS_KEY)
    token = await deploy_local_contract(anvil_node.rpc_url, "PlainToken", token_arguments("VLT", 6), GAS_KEY)
    mint = selector("mint(address,uint256)") + padded(SAFE.address) + word(TOKENS)
    sender = (await anvil_node.accounts())[1]
    await anvil_node.transact({"from": sender, "to": token, "data": "0x" + mint.hex()})
    await anvil_node.send(SAFE.address, COINS, sender=sender)
    return Chain(anvil_node, token)


def signed(draft: SafeDraft, *secrets: OfficerSecret) -> SafeDraft:
    check = check_of(draft.network, draft.digest)
    return combine([sign(draft, secret, check) for secret in secrets])


async def test_the_deployed_safe_hashes_a_transaction_as_the_officers_do(chain: Chain):
    for payment in (SafePayment(COIN, FLOAT, 3), SafePayment(chain.token, FLOAT, 4)):
        draft = draft_of(SAFE, payment, 12)
        one = draft.transaction
        data = bytes.fromhex(one.data[2:])
        theirs = await chain.asked(
            SAFE.address,
            "getTransactionHash(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,uint256)",
            padded(one.to), word(int(one.value)), word(320), word(0), word(0), word(0), word(0),
            padded(COIN), padded(COIN), word(12), encode_bytes(data),
        )  # fmt: skip
        assert theirs.hex() == draft.digest


async def test_two_of_three_officers_settle_in_coin_and_in_a_token(chain: Chain):
    coins, tokens = await chain.coins(FLOAT), await chain.tokens(FLOAT)
    draft = draft_of(SAFE, SafePayment(COIN, FLOAT, COINS - 1), await chain.nonce())
    await chain.send(finalise(signed(draft, ADA, CY)))
    assert await chain.coins(FLOAT) == coins + COINS - 1
    draft = draft_of(SAFE, SafePayment(chain.token, FLOAT, TOKENS), await chain.nonce())
    await chain.send(finalise(signed(draft, CY, BO, ADA)))
    assert await chain.tokens(FLOAT) == tokens + TOKENS


async def test_a_settlement_executes_once_and_its_replacement_not_at_all(chain: Chain):
    nonce = await chain.nonce()
    once = finalise(signed(draft_of(SAFE, SafePayment(COIN, FLOAT, 10), nonce), ADA, BO))
    other = finalise(signed(draft_of(SAFE, SafePayment(COIN, FLOAT, 20), nonce), ADA, BO))
    before = await chain.coins(FLOAT)
    await chain.send(once)
    for again in (once, other):
        with pytest.raises(HouseTransactionRefused):
            await chain.send(again)
    assert await chain.coins(FLOAT) == before + 10
    assert await chain.nonce() == nonce + 1


async def test_one_officer_twice_or_a_stranger_beside_him_moves_nothing(chain: Chain):
    draft = draft_of(SAFE, SafePayment(COIN, FLOAT, 10), await chain.nonce())
    one = signed(draft, ADA).signatures
    stranger = replace(SAFE, owners=(*SAFE.owners, address_of_key(evm_key(STRANGER))))
    beside = signed(replace(draft, vault=stranger), ADA, STRANGER).signatures
    for signatures in (one * 2, beside):
        with pytest.raises(HouseTransactionRefused):
            await chain.send(finalise(replace(draft, signatures=signatures)))
    assert await chain.nonce() == draft.transaction.nonce


async def test_what_was_signed_cannot_be_changed_on_its_way(chain: Chain):
    draft = signed(draft_of(SAFE, SafePayment(COIN, FLOAT, 10), await chain.nonce()), ADA, BO)
    for fields in ({"value": "11"}, {"to": checksum(b"\xee" * 20)}, {"data": "0x00"}):
        changed = replace(draft, transaction=msgspec.structs.replace(draft.transaction, **fields))
        with pytest.raises(HouseTransactionRefused):
            await chain.send(finalise(changed))
    assert await chain.nonce() == draft.transaction.nonce


async def test_a_payment_that_fails_uses_nothing_up(chain: Chain):
    draft = draft_of(SAFE, SafePayment(chain.token, FLOAT, 10**30), await chain.nonce())
    with pytest.raises(HouseTransactionRefused):
        await chain.send(finalise(signed(draft, ADA, BO)))
    assert await chain.nonce() == draft.transaction.nonce
