"""What the signer takes for money that came to the float, in blocks in which the float also pays."""

import pytest
from coincurve import PrivateKey

from fixtures_signer import EVM, GAS_KEY, fresh_address
from holdfast.chains.evm_contracts import COIN, float_of
from holdfast.chains.evm_deploy import deploy_float
from holdfast.chains.localnet import AnvilNode
from holdfast.core.evm_float import pay_call
from holdfast.core.journal import Funding
from holdfast.core.orders import FloatKey
from holdfast.policy.record import Record
from holdfast.signer.networks import open_sight
from holdfast.signer.settings import NetworkAccess, NodeAccess

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]


async def test_what_comes_to_the_float_while_it_pays_more_is_a_funding(anvil_node: AnvilNode) -> None:
    """Its balance falls in that block, so balances say that nothing came."""
    funder, owner = (await anvil_node.accounts())[1:3]
    vault = fresh_address(EVM)
    await deploy_float(anvil_node.rpc_url, owner, vault, GAS_KEY)
    address = float_of(owner, vault)
    await anvil_node.send(address, 1_000, sender=funder)
    await anvil_node.set_automine(on=False)
    try:
        data = "0x" + pay_call(COIN, [(fresh_address(EVM), 900)]).hex()
        await anvil_node.transact({"from": owner, "to": address, "data": data, "gas": hex(500_000)})
        await anvil_node.send(address, 50, sender=funder)
        await anvil_node.mine()
    finally:
        await anvil_node.set_automine(on=True)
    height = await anvil_node.height()
    record = Record(floats={EVM.id: FloatKey(EVM.id, PrivateKey(b"\1" * 32).public_key.format().hex(), address, vault)})
    sight = open_sight(EVM.id, NetworkAccess(nodes=(NodeAccess(url=anvil_node.rpc_url),)))
    found = await sight.fundings(record, [height, height - 1], 1)
    await sight.close()
    assert [(each.units, each.address, each.height) for each in found if isinstance(each, Funding)] == [
        (1_000, address, height - 1),
        (50, address, height),
    ]
