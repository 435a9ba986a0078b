"""The officers' spends on a real node: it reads the PSBT as they do, finalises it to the same bytes, and mines it."""

import base64
from dataclasses import dataclass, replace

import msgspec
import pytest

from fixtures_vault import ADA, BO, CY, PEOPLE, check_of, vault_on
from holdfast.chains.local_process import LocalRpc
from holdfast.chains.localnet import RegtestNode
from holdfast.chains.rpc import Credentials
from holdfast.core.descriptors import Branch, Place, VaultDescriptor
from holdfast.core.money import parse_units
from holdfast.vault import psbt
from holdfast.vault.drafts import binary
from holdfast.vault.psbt import Draft, combine, draft_of, finalise, sign, with_signatures, write
from holdfast.vault.spends import VaultInput, VaultOutput, VaultSpend

pytestmark = [pytest.mark.node, pytest.mark.slow, pytest.mark.xdist_group("litecoin")]

COIN = 100_000_000
FEE = 20_000
LENGTH_BYTES = 4
"""The lengths in a script may be written in fewer bytes than an estimate allows for."""


class Output(msgspec.Struct):
    n: int
    value: msgspec.Raw
    script: dict[str, object] = msgspec.field(name="scriptPubKey")


class Decoded(msgspec.Struct):
    txid: str
    vout: list[Output]
    vsize: int = 0


class DecodedPsbt(msgspec.Struct):
    tx: Decoded
    fee: msgspec.Raw
    inputs: list[dict[str, object]]
    outputs: list[dict[str, object]]


class Finalised(msgspec.Struct):
    complete: bool
    hex: str = ""


class Analysis(msgspec.Struct):
    next: str


class Verdict(msgspec.Struct):
    allowed: bool
    reason: str = msgspec.field(name="reject-reason", default="")


@dataclass(frozen=True)
class Chain:
    """What the tests do to the node."""

    node: RegtestNode
    rpc: LocalRpc

    async def deposit(self, address: str, units: int) -> tuple[str, int, bytes]:
        """Pay to the vault: txid, output number, raw transaction."""
        txid = await self.node.send(address, units)
        raw = await self.rpc.call(str, "getrawtransaction", txid)
        await self.node.mine()
        decoded = await self.rpc.call(Decoded, "decoderawtransaction", raw)
        (number,) = [one.n for one in decoded.vout if address in str(one.script)]
        return txid, number, bytes.fromhex(raw)

    async def verdict(self, raw: bytes) -> Verdict:
        """Whether the node would take it."""
        (one,) = await self.rpc.call(list[Verdict], "testmempoolaccept", [raw.hex()])
        return one

    async def received(self, address: str) -> int:
        """What stands at an address, in units, as the node's own set of unspent outputs has it."""

        class Scan(msgspec.Struct):
            total_amount: msgspec.Raw

        scan = await self.rpc.call(Scan, "scantxoutset", "start", [f"addr({address})"])
        return parse_units(bytes(scan.total_amount).decode(), 8)


@pytest.fixture
def chain(litecoin: RegtestNode) -> Chain:
    return Chain(litecoin, LocalRpc(litecoin.rpc_url, "litecoin", Credentials(cookie_file=litecoin.cookie_file)))


def signed_by(draft: Draft, *secrets: object) -> list[Draft]:
    check = check_of(draft.spend.network.id, draft.digest)
    return [sign(draft, secret, check) for secret in secrets]


async def two_deposits(chain: Chain, descriptor: str, vault: VaultDescriptor, *, whole: bool) -> VaultSpend:
    """Two merchants' deposits, paid to the float with change to the vault."""
    network = chain.node.network
    inputs = []
    for index, units in ((7, COIN), (2**20 + 3, 3 * COIN)):
        txid, number, raw = await chain.deposit(vault.address(index, network), units)
        inputs.append(VaultInput(txid, number, Place(Branch.DEPOSIT, index), units, raw if whole else b""))
    change = VaultOutput(vault.address(11, network, Branch.CHANGE), COIN - FEE, Place(Branch.CHANGE, 11))
    return VaultSpend(
        network, descriptor, tuple(inputs), (VaultOutput(await chain.node.new_address(), 3 * COIN), change)
    )


@pytest.mark.parametrize("whole", [True, False], ids=["with previous transactions", "with amounts alone"])
async def test_two_of_three_officers_settle_and_the_change_can_be_spent_again(chain: Chain, whole: bool):
    descriptor, vault = vault_on(chain.node.network)
    spend = await two_deposits(chain, descriptor, vault, whole=whole)
    draft = draft_of(spend)
    final = finalise(combine(signed_by(draft, ADA, CY)))
    assert (await chain.verdict(final.raw)) == Verdict(allowed=True)
    assert await chain.rpc.call(str, "sendrawtransaction", final.raw.hex()) == final.txid
    await chain.node.mine()
    assert await chain.received(spend.outputs[0].address) == 3 * COIN
    assert await chain.received(spend.outputs[1].address) >= COIN - FEE

    back = VaultInput(final.txid, 1, Place(Branch.CHANGE, 11), COIN - FEE, final.raw if whole else b"")
    again = replace(spend, inputs=(back,), outputs=(VaultOutput(await chain.node.new_address(), COIN - 2 * FEE),))
    last = finalise(combine(signed_by(draft_of(again), BO, CY)))
    assert await chain.rpc.call(str, "sendrawtransaction", last.raw.hex()) == last.txid
    await chain.node.mine()


async def test_the_node_reads_the_psbt_as_the_officers_do_and_finishes_it_to_the_same_bytes(chain: Chain):
    descriptor, vault = vault_on(chain.node.network)
    draft = draft_of(await two_deposits(chain, descriptor, vault, whole=True))
    one, two = signed_by(draft, ADA, BO)

    def text(of: Draft) -> str:
        return base64.b64encode(write(of)).decode()

    decoded = await chain.rpc.call(DecodedPsbt, "decodepsbt", text(draft))
    assert parse_units(bytes(decoded.fee).decode(), 8) == FEE
    paths = {str(one["path"]) for one in decoded.inputs[1]["bip32_derivs"]}
    assert paths == {"m/48'/1'/0'/2'/0/1048579"}
    assert {str(one["path"]) for one in decoded.outputs[1]["bip32_derivs"]} == {"m/48'/1'/0'/2'/1/11"}
    assert "bip32_derivs" not in decoded.outputs[0]
    assert (await chain.rpc.call(Analysis, "analyzepsbt", text(draft))).next == "signer"

    joined = await chain.rpc.call(str, "combinepsbt", [text(one), text(two)])
    assert (await chain.rpc.call(Analysis, "analyzepsbt", joined)).next == "finalizer"
    theirs = await chain.rpc.call(Finalised, "finalizepsbt", joined)
    ours = finalise(combine([one, two]))
    assert theirs == Finalised(complete=True, hex=ours.raw.hex())
    assert with_signatures(draft, binary(joined.encode())) == combine([one, two])

    size = (await chain.rpc.call(Decoded, "decoderawtransaction", ours.raw.hex())).vsize
    assert size <= draft.spend.vbytes <= size + 2


async def test_a_plain_script_hash_is_spent_as_on_networks_without_segwit(chain: Chain):
    network = chain.node.network
    keys = ",".join(f"{person.xpubs[network.name]}/0/*" for person in PEOPLE)
    descriptor = f"sh(sortedmulti(2,{keys}))"
    spend = await two_deposits(chain, descriptor, VaultDescriptor.parse(descriptor), whole=True)
    draft = draft_of(spend)
    assert psbt.read(write(draft), network, descriptor) == draft
    signed = combine(signed_by(draft, CY, ADA))
    final = finalise(signed)
    assert await chain.rpc.call(str, "sendrawtransaction", final.raw.hex()) == final.txid
    await chain.node.mine()
    size = (await chain.rpc.call(Decoded, "decoderawtransaction", final.raw.hex())).vsize
    shorter = sum(72 - len(signature) for of_input in signed.signatures for _, signature in of_input)
    assert 0 <= spend.vbytes - size - shorter <= LENGTH_BYTES * len(spend.inputs)


async def test_one_officer_alone_moves_nothing_even_on_the_chain(chain: Chain):
    descriptor, vault = vault_on(chain.node.network)
    draft = draft_of(await two_deposits(chain, descriptor, vault, whole=False))
    (one,) = signed_by(draft, ADA)
    twice = replace(one, signatures=tuple((*has, (b"\xff" * 33, has[0][1])) for has in one.signatures))
    verdict = await chain.verdict(finalise(twice).raw)
    assert not verdict.allowed
    assert "CHECK(MULTI)SIG" in verdict.reason


async def test_a_higher_fee_replaces_a_settlement_that_waits(chain: Chain):
    descriptor, vault = vault_on(chain.node.network)
    spend = await two_deposits(chain, descriptor, vault, whole=False)
    first = finalise(combine(signed_by(draft_of(spend), ADA, BO)))
    await chain.rpc.call(str, "sendrawtransaction", first.raw.hex())
    paid, change = spend.outputs
    dearer = replace(spend, outputs=(paid, replace(change, units=change.units - FEE)))
    second = finalise(combine(signed_by(draft_of(dearer), ADA, BO)))
    assert await chain.rpc.call(str, "sendrawtransaction", second.raw.hex()) == second.txid
    assert first.txid not in await chain.node.mempool()
    await chain.node.mine()
