"""Tokens out of the float, coin out of the gas account, and nodes that do not tell the same chain: on real nodes."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from coincurve import PublicKey

from fixtures_guard import guarded, tower_settings
from fixtures_signer import COIN, ETHER, EVM, GAS_KEY, LTC, Scene, fresh_address, policy_text
from holdfast.chains.evm_deploy import deploy_local_contract, token_arguments
from holdfast.chains.evm_transactions import sign
from holdfast.chains.localnet import AnvilNode, RegtestNode, litecoin_regtest
from holdfast.chains.zone_settings import NodeAccess
from holdfast.core.evm import address_bytes
from holdfast.core.evm_float import pay_call
from holdfast.core.evm_transactions import Fees, Transaction, address_of
from holdfast.watchtower.settings import WatchedNetwork

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]

USDT = 10**6
_MINT = bytes.fromhex("40c10f19")


@pytest.fixture
def scene(tmp_path: Path, litecoin: RegtestNode, anvil_node: AnvilNode) -> Scene:
    """Officers, a policy and a merchant who is certified."""
    scene = Scene(tmp_path, litecoin, anvil_node)
    scene.set_policy(policy_text())
    scene.certify()
    return scene


@dataclass
class Evm:
    """What lies on the EVM network beside the coin, and who else has keys."""

    scene: Scene
    token: str

    @property
    def gas_account(self) -> str:
        return address_of(PublicKey(self.scene.keys.public_key(f"{EVM.id}/gas")))

    @property
    def watched(self) -> dict[str, WatchedNetwork]:
        """The watchtower's networks, with the token and the gas account in its settings."""
        node = NodeAccess(url=self.scene.anvil.rpc_url)
        known = tower_settings(self.scene).networks[LTC.id]
        evm = WatchedNetwork(nodes=(node,), tokens=(self.token,), accounts=(self.gas_account,))
        return {LTC.id: WatchedNetwork(nodes=known.nodes), EVM.id: evm}

    async def send(self, key: str, nonce: int, to: str, value: int, data: bytes = b"") -> str:
        """A transaction with one of the signer's keys, made outside of the signer."""
        stolen = self.scene.keys._keys[key].secret
        signed = sign(Transaction(31337, nonce, Fees(10**11, 10**9), 200_000, to, value, data), stolen)
        return await self.scene.anvil.call("eth_sendRawTransaction", "0x" + signed.raw.hex())


@pytest_asyncio.fixture(loop_scope="session")
async def evm(scene: Scene) -> Evm:
    """A float with coin, tokens and a gas account with coin."""
    await scene.deposit(ltc=10 * COIN, ether=10 * ETHER)
    await scene.fund(ltc=[6 * COIN], ether=20 * ETHER)
    made = Evm(
        scene, await deploy_local_contract(scene.anvil.rpc_url, "PlainToken", token_arguments("USDT", 6), GAS_KEY)
    )
    minted = _MINT + address_bytes(scene.evm_float).rjust(32, b"\0") + (1_000 * USDT).to_bytes(32, "big")
    sender = (await scene.anvil.accounts())[1]
    await scene.anvil.transact({"from": sender, "to": made.token, "data": "0x" + minted.hex()})
    await scene.anvil.send(made.gas_account, ETHER)
    return made


async def test_tokens_that_leave_the_floats_contract_stop_the_network(scene: Scene, evm: Evm) -> None:
    async with guarded(scene, networks=evm.watched) as watched, scene.signing() as signer:
        await signer.round()
        await watched.seeing()
        assert watched.status.stops == ()
        data = pay_call(evm.token, [(fresh_address(EVM), 900 * USDT)])
        theft = await evm.send(EVM.id, signer.record.nonces.get(scene.evm_float, 0), scene.evm_float, 0, data)
        status = await watched.until(lambda now: any(theft in stop.reason for stop in now.stops))
        assert {stop.scope for stop in status.stops} == {EVM.id}
        assert EVM.id in status.frozen
        assert LTC.id not in status.frozen


async def test_tokens_that_leave_without_any_transaction_of_the_owners_are_seen_by_their_transfer(
    scene: Scene, evm: Evm
) -> None:
    async with guarded(scene, networks=evm.watched) as watched, scene.signing() as signer:
        await signer.round()
        await watched.seeing()
        # Nobody has the contract's own key: as where the token itself is at fault, and moves what is not its caller's.
        await scene.anvil.impersonate(scene.evm_float)
        moved = (
            bytes.fromhex("a9059cbb") + address_bytes(fresh_address(EVM)).rjust(32, b"\0") + USDT.to_bytes(32, "big")
        )
        theft = await scene.anvil.transact({"from": scene.evm_float, "to": evm.token, "data": "0x" + moved.hex()})
        status = await watched.until(lambda now: any(theft in stop.reason for stop in now.stops))
        assert {stop.scope for stop in status.stops} == {EVM.id}


async def test_the_gas_accounts_key_used_outside_the_signer_stops_the_network(scene: Scene, evm: Evm) -> None:
    async with guarded(scene, networks=evm.watched) as watched, scene.signing() as signer:
        await signer.round()
        await watched.seeing()
        assert watched.status.stops == ()
        theft = await evm.send(f"{EVM.id}/gas", 0, fresh_address(EVM), ETHER // 2)
        status = await watched.until(lambda now: any(theft in stop.reason for stop in now.stops))
        assert {stop.scope for stop in status.stops} == {EVM.id}
        assert "gas-account-spent" in {alarm.kind for alarm in status.alarms}


async def test_a_gas_account_that_the_settings_do_not_name_is_watched_by_nobody(scene: Scene, evm: Evm) -> None:
    """Why `accounts` must be in the settings: the journal knows of no gas account before its first transaction."""
    networks = evm.watched
    networks[EVM.id] = WatchedNetwork(nodes=networks[EVM.id].nodes, tokens=networks[EVM.id].tokens)
    async with guarded(scene, networks=networks) as watched, scene.signing() as signer:
        await signer.round()
        await evm.send(f"{EVM.id}/gas", 0, fresh_address(EVM), ETHER // 2)
        await watched.seeing()
        await watched.seeing()
        assert watched.status.stops == ()


async def test_two_nodes_that_tell_different_chains_are_told_and_their_network_is_no_longer_leased(
    scene: Scene, evm: Evm, tmp_path: Path
) -> None:
    async with litecoin_regtest(tmp_path / "other", has_extension=False) as other:
        await other.mine(max(0, await scene.litecoin.height() - await other.height()) + 1)
        networks, access = evm.watched, other.access()
        [own] = networks[LTC.id].nodes
        both = (own, NodeAccess(url=access.url, cookie_file=access.cookie_file))
        networks[LTC.id] = WatchedNetwork(nodes=both)
        async with guarded(scene, networks=networks, sees=False, blind_seconds=3) as watched, scene.signing() as signer:
            await signer.round()
            status = await watched.until(lambda now: any("different blocks" in one.fault for one in now.networks))
            [fault] = [one for one in status.networks if one.fault]
            assert fault.network == LTC.id
            await watched.until(lambda now: LTC.id in now.frozen)
            assert EVM.id not in watched.status.frozen
            payout = scene.order([(fresh_address(LTC), COIN)])
            await signer.round()
            await signer.round()
            assert signer.record.transactions == {}
            assert payout not in signer.record.paid
            assert watched.status.stops == (), "it is no theft, and ends by itself"
