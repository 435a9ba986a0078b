"""What a merchant signed is paid, on real nodes, once."""

import pytest

from fixtures_signer import COIN, ETHER, EVM, LTC, MinedHint, Scene, fresh_address

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]


async def test_a_payout_on_both_families_is_signed_released_and_found_in_a_block(scene: Scene) -> None:
    await scene.deposit(ltc=10 * COIN, ether=10 * ETHER)
    await scene.fund(ltc=[3 * COIN, 4 * COIN], ether=20 * ETHER)
    to_ltc, to_evm = fresh_address(LTC), fresh_address(EVM)
    paid = [scene.order([(to_ltc, 2 * COIN)]), scene.order([(to_evm, ETHER), (to_evm, 2)])]
    async with scene.watched(), scene.signing() as signer:
        await signer.round()
        assert scene.platform.waiting == {}
        assert all(signer.record.payouts[one].reservation for one in paid)
        assert int(await scene.anvil.call("eth_getBalance", to_evm, "latest"), 16) == ETHER + 2
        await scene.litecoin.mine(1)
        for seq, one in signer.record.reservations.items():
            assert one.signed is not None
            height = await (scene.litecoin if one.body.network == LTC.id else scene.anvil).height()
            scene.platform.mined.append(MinedHint(seq, one.signed.transaction, height))
        await signer.round()
        assert signer.record.paid == set(paid)
        assert signer.record.unconfirmed[LTC.coin.id] == 0
        assert signer.record.entitlements["mer_one", LTC.coin.id] == 10 * COIN * 99 // 100 - 2 * COIN - 10
