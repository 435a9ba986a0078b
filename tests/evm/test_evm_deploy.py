"""A deployment stands where its owners alone say it does, and can be run again."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from holdfast.chains.evm_contracts import COIN, plan_vault, safe_release, selector
from holdfast.chains.evm_deploy import ContractMismatch, deploy, verify
from holdfast.chains.evm_house import GasKeyUnusable, HouseTransactionRefused, flush, read_gas_key
from holdfast.core.evm import address_bytes, checksum, create2, deposit_address, forwarder_code, keccak256

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("anvil")]

REPOSITORY = Path(__file__).parents[2]


async def test_the_plan_is_where_everything_stands(chain, local_node):
    await verify(chain.url, chain.plan)
    assert local_node.deployment_gas > 0
    data = "0x" + selector("addressOf(uint256)").hex() + (5).to_bytes(32, "big").hex()
    answer = await chain.call("eth_call", {"to": chain.plan.factory, "data": data}, "latest")
    assert checksum(bytes.fromhex(answer[26:])) == chain.address(5)


async def test_the_vault_has_these_owners_and_this_threshold_and_nothing_else(chain):
    async def asked(signature, arguments=b""):
        data = "0x" + (selector(signature) + arguments).hex()
        return bytes.fromhex((await chain.call("eth_call", {"to": chain.plan.vault, "data": data}, "latest"))[2:])

    owners = await asked("getOwners()")
    assert [checksum(owners[at + 12 : at + 32]) for at in range(64, len(owners), 32)] == list(chain.plan.owners)
    assert int.from_bytes(await asked("getThreshold()"), "big") == 2
    modules = await asked("getModulesPaginated(address,uint256)", (1).to_bytes(32, "big") + (9).to_bytes(32, "big"))
    assert int.from_bytes(modules[64:96], "big") == 0
    handler = "0x" + keccak256(b"fallback_manager.handler.address").hex()
    guard = "0x" + keccak256(b"guard_manager.guard.address").hex()
    for slot in (handler, guard):
        assert int(await chain.call("eth_getStorageAt", chain.plan.vault, slot, "latest"), 16) == 0


async def test_deploying_again_makes_nothing(chain, local_node):
    again = await deploy(chain.url, chain.plan, bytes.fromhex("11" * 32))  # a key without any coin: nothing is sent
    assert again.made == ()
    assert again.gas_used == 0


async def test_owners_in_another_order_are_the_same_vault_and_others_another(chain):
    plan = chain.plan
    assert plan_vault(plan.owners[::-1], 2) == plan
    assert plan_vault(plan.owners, 3).vault != plan.vault
    assert plan_vault(plan.owners[:2], 2).factory != plan.factory


async def test_foreign_code_where_the_factory_belongs_is_found(chain):
    await chain.call("anvil_setCode", chain.plan.factory, "0x00")
    with pytest.raises(ContractMismatch):
        await verify(chain.url, chain.plan)
    with pytest.raises(ContractMismatch):
        await deploy(chain.url, chain.plan, bytes.fromhex("11" * 32))


async def test_a_vault_that_runs_other_code_is_found(chain):
    await chain.call("anvil_setStorageAt", chain.plan.vault, "0x" + "00" * 32, "0x" + "00" * 12 + "dd" * 20)
    with pytest.raises(ContractMismatch):
        await verify(chain.url, chain.plan)


def test_the_safe_release_proves_itself_by_its_public_addresses():
    release = safe_release()
    factory = address_bytes(release.singleton_factory.address)
    for part in (release.singleton, release.proxy_factory):
        code_hash = keccak256(bytes.fromhex(part.creation_code[2:]))
        assert checksum(create2(factory, bytes(32), code_hash)) == part.address
    # As published for SafeL2 and SafeProxyFactory 1.4.1 on every network.
    assert release.singleton.address == "0x29fcB43b46531BcA003ddC8FCB67FFE91900C762"
    assert release.proxy_factory.address == "0x4e1DCf7AD4e460CfD30791CCC4F9c8a4f820ec67"


async def test_the_proxy_code_is_the_one_that_the_safe_proxy_factory_uses(chain):
    release = safe_release()
    data = "0x" + selector("proxyCreationCode()").hex()
    answer = bytes.fromhex(
        (await chain.call("eth_call", {"to": release.proxy_factory.address, "data": data}, "latest"))[2:]
    )
    length = int.from_bytes(answer[32:64], "big")
    assert answer[64 : 64 + length].hex() == release.proxy.creation_code[2:]


@pytest.mark.slow
def test_building_again_gives_the_same_bytes(tmp_path):
    build = REPOSITORY / "contracts" / "build"
    subprocess.run([build, tmp_path], check=True, timeout=300)  # noqa: S603  our own script
    built = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.json"))
    committed = REPOSITORY / "src" / "holdfast" / "chains" / "evm_artifacts"
    kept = sorted(path.relative_to(committed) for path in committed.rglob("*.json") if path.name != "Safe.json")
    assert built == kept
    for name in built:
        assert (tmp_path / name).read_bytes() == (committed / name).read_bytes(), name


def test_no_contract_of_ours_can_delegate_or_end_itself():
    """The one DELEGATECALL is the deposit address's own, to an address that is part of its code."""
    for name in ("Float", "Forwarder", "ForwarderFactory"):
        path = REPOSITORY / "src" / "holdfast" / "chains" / "evm_artifacts" / f"{name}.json"
        found = opcodes(bytes.fromhex(json.loads(path.read_text())["runtime_code"][2:]))
        assert not found & {0xF2, 0xF4, 0xFF}, name  # CALLCODE, DELEGATECALL, SELFDESTRUCT
        assert 0x55 not in found, name  # SSTORE: nothing is stored for longer than a transaction
    own = opcodes(forwarder_code(b"\x11" * 20))
    assert own & {0xF0, 0xF1, 0xF2, 0xF4, 0xF5, 0xFF, 0x55} == {0xF4}


def opcodes(code: bytes) -> set[int]:
    found, at = set(), 0
    while at < len(code):
        found.add(code[at])
        at += 1 + (code[at] - 0x5F if 0x60 <= code[at] <= 0x7F else 0)  # a PUSH's data is no instruction
    return found


def test_a_gas_key_file_must_hold_a_key_and_no_message_repeats_it(tmp_path):
    file = tmp_path / "gas.key"
    file.write_text("0x" + "12" * 32 + "\n")
    assert read_gas_key(file) == bytes.fromhex("12" * 32)
    file.write_text("12" * 31)
    with pytest.raises(GasKeyUnusable) as raised:
        read_gas_key(file)
    assert "1212" not in str(raised.value)
    with pytest.raises(GasKeyUnusable):
        read_gas_key(tmp_path / "absent")


async def test_a_gas_account_without_coin_is_refused_by_name(chain):
    with pytest.raises(HouseTransactionRefused):
        await flush(chain.url, chain.plan.factory, [1], [COIN], bytes.fromhex("11" * 32))


def test_a_deposit_address_needs_two_public_addresses_and_an_index():
    plan = plan_vault(["0x" + "a1" * 20], 1)
    assert deposit_address(plan.factory, plan.implementation, 0) == deposit_address(
        plan.factory.lower(), plan.implementation.lower(), 0
    )
