"""A watchtower that looks: a signer's scene with the watchtower's own nodes, and a thief who has keys."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from coincurve import PrivateKey

from fixtures_signer import EVM, LTC, Scene, fresh_address
from holdfast.chains.bitcoin_scripts import script_of
from holdfast.chains.evm_transactions import sign as sign_evm
from holdfast.chains.zone_settings import NodeAccess
from holdfast.core import bitcoin
from holdfast.core.evm_transactions import Fees, Transaction as EvmTransaction
from holdfast.core.networks import BitcoinNetwork
from holdfast.core.tower_status import STATUS_REQUEST, TowerStatus
from holdfast.policy.record import Record
from holdfast.watchtower.answers import Tower
from holdfast.watchtower.eyes import Eyes
from holdfast.watchtower.fold import Fold
from holdfast.watchtower.guard import Guard
from holdfast.watchtower.server import Bounds, Server, listening
from holdfast.watchtower.settings import TowerSettings, WatchedNetwork
from holdfast.watchtower.store import Store

FEE_UNITS = 10_000


@dataclass
class Watched:
    """A watchtower that runs in this process."""

    tower: Tower
    guard: Guard

    @property
    def status(self) -> TowerStatus:
        found = self.tower.answer(STATUS_REQUEST)
        assert isinstance(found, TowerStatus)
        return found

    async def until(self, is_so: Callable[[TowerStatus], bool], seconds: int = 20) -> TowerStatus:
        """Its status, once it is so."""
        deadline = time.monotonic() + seconds
        while not is_so(status := self.status):
            assert time.monotonic() < deadline, status
            await asyncio.sleep(0.05)
        return status

    async def seeing(self) -> None:
        """Until it has read both chains to their ends, once more than before."""
        begun = self.status.now_ms
        await self.until(lambda now: all(one.looked_ms > begun for one in now.networks))


def tower_settings(scene: Scene, **more: object) -> TowerSettings:
    access = scene.litecoin.access()
    networks = {
        LTC.id: WatchedNetwork(nodes=(NodeAccess(url=access.url, cookie_file=access.cookie_file),)),
        EVM.id: WatchedNetwork(nodes=(NodeAccess(url=scene.anvil.rpc_url),)),
    }
    facts: dict[str, object] = {
        "root_fingerprint": scene.house.quorum.fingerprint(), "data_file": scene.directory / "tower.sqlite",
        "lease_key_file": Path("unused"), "passphrase_file": Path("unused"), "networks": networks,
        "watch_milliseconds": 50, **more,
    }  # fmt: skip
    return TowerSettings(**facts)  # type: ignore[arg-type]  # the facts of the settings


@asynccontextmanager
async def guarded(scene: Scene, *, sees: bool = True, **more: object) -> AsyncIterator[Watched]:
    """A watchtower on a port of its own, with eyes; `sees`: only once it has looked at everything."""
    settings = tower_settings(scene, **more)
    store = Store(settings.data_file, settings.root_fingerprint)
    fold = Fold(settings.root_fingerprint)
    tower = Tower(
        store, scene.house.lease_key, settings.root_fingerprint, (), 5_000, scene.clocks.wall_ms, fold=fold,
        eyes=Eyes(blind_ms=settings.blind_seconds * 1_000),
    )  # fmt: skip

    def log(*_: object, **__: object) -> None:
        pass

    server = Server(tower, Bounds(8, 64_000_000, 15), log)
    guard = Guard(tower, fold, settings, server.lock, log)
    looking = asyncio.create_task(guard.run())
    try:
        async with listening(server, "127.0.0.1", 0) as where:
            scene.port, scene.tower = where[1], tower
            watched = Watched(tower, guard)
            if sees:
                await watched.seeing()
            yield watched
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
        await guard.close()
        store.close()


def steal_bitcoin(scene: Scene, record: Record, outpoints: Sequence[str] = ()) -> bitcoin.Signed:
    """Float coins to a stranger, signed with the float's key outside the signer."""
    assert isinstance(LTC, BitcoinNetwork)
    coins = [one for one in record.coins[LTC.id].values() if not outpoints or one.outpoint in outpoints]
    key = PrivateKey(scene.keys._keys[LTC.id].secret)
    script = bitcoin.key_script(key.public_key.format(), is_segwit=True)
    units = sum(coin.units for coin in coins) - FEE_UNITS
    transaction = bitcoin.Transaction(
        tuple(bitcoin.Input(coin.outpoint) for coin in coins),
        (bitcoin.Output(script_of(LTC, fresh_address(LTC)), units),),
    )
    digests = bitcoin.digests(transaction, script, [coin.units for coin in coins])
    signatures = [key.sign(digest, hasher=None) for digest in digests]
    return bitcoin.assemble(transaction, key.public_key.format(), signatures, is_segwit=True)


async def steal_evm(scene: Scene, nonce: int) -> str:
    """Coin of the float's owner to a stranger, signed outside the signer; the transaction."""
    theft = EvmTransaction(31337, nonce, Fees(10**11, 10**9), 21_000, fresh_address(EVM), 10**18, b"")
    signed = sign_evm(theft, scene.keys._keys[EVM.id].secret)
    return await scene.anvil.call("eth_sendRawTransaction", "0x" + signed.raw.hex())
