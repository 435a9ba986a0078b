"""`holdfast incident trace` on real nodes: what strangers took is followed from the evidence of the incident itself."""

import asyncio
import json
import sys

import pytest

from fixtures_incident import Shop, seen
from fixtures_signer import EVM, fresh_address
from holdfast.chains.localnet import AnvilNode
from holdfast.core.evm import checksum
from holdfast.faces.cli import main as command
from holdfast.incident.gather import seal
from holdfast.incident.record import Noted
from holdfast.trace.case import Case


@pytest.mark.node
@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.xdist_group("anvil")
async def test_what_nobody_ordered_is_followed_to_where_it_lies(
    shop: Shop, anvil_node: AnvilNode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    thief, second = (await anvil_node.accounts())[5], fresh_address(EVM)
    stolen = await anvil_node.send(thief, 3 * 10**18)
    await anvil_node.send(second, 2 * 10**18, sender=thief)
    shop.set(f'[networks."{EVM.id}"]\nnodes = [{{ url = "{anvil_node.rpc_url}" }}]\n')
    incident = shop.store.open("a theft", seen("alarm", EVM.id, "alarm:1", stolen))
    await asyncio.to_thread(asyncio.run, seal(shop.settings, shop.store, incident.id))

    monkeypatch.setattr(sys, "argv", ["holdfast", "incident", "trace", "--json", "--config", str(shop.config)])
    with pytest.raises(SystemExit) as left:
        await asyncio.to_thread(command.main)
    assert left.value.code == 0
    said = json.loads(capsys.readouterr().out)
    [total] = said["stolen"]
    assert (total["asset"], total["stolen"]) == (EVM.coin.id, 3 * 10**18)
    lying = {end["address"]: end["lies"]["fifo"] for end in said["trace"]["ends"]}
    assert lying[checksum(bytes.fromhex(second[2:]))] == 2 * 10**18

    folder = shop.store.path(incident.id) / "trace"
    assert Case(folder).trace().steps, "the case lies in the incident's own folder"
    assert Case(folder).evidence().exhibits, "with the raw answers of the node"
    newest = shop.newest()
    assert newest is not None
    [noted] = newest.of(Noted)
    assert "trace.json has SHA-256" in noted.text
    assert [one.transaction for one in noted.transactions] == [stolen]
