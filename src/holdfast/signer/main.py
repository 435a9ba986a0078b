"""The signer process: the one place where its parts are put together. It listens to nobody and only dials out.

python -m holdfast.signer.main --config signer.toml
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import msgspec

from holdfast.core.errors import BadInput, HoldfastError, Unavailable
from holdfast.core.orders import SignedOrder
from holdfast.signer.clocks import MachineClocks
from holdfast.signer.keys import Keys, open_keys
from holdfast.signer.loop import Signer
from holdfast.signer.networks import open_sight
from holdfast.signer.platform import Platform
from holdfast.signer.settings import SignerSettings, SignerSettingsWrong, load
from holdfast.signer.store import Journal
from holdfast.signer.tower import Tower

log = logging.getLogger("holdfast.signer")
PAUSE_SECONDS = 1
"""Between a round that failed and the next try."""


class AssertionsOff(BadInput):
    """Python runs with assertions off. Start the signer without `-O`."""

    code = "assertions-off"


class GenesisUnreadable(BadInput):
    """The file with the genesis order cannot be read. Name the file that the officers signed."""

    code = "genesis-unreadable"


def open_signer(settings: SignerSettings) -> Signer:
    """All parts, unconnected. Raises what keystore, journal and nodes' settings raise."""
    keys, clocks = keys_of(settings), MachineClocks()
    return Signer(
        settings=settings,
        journal=Journal(settings.journal_file),
        keys=keys,
        tower=Tower(settings.tower_host, settings.tower_port, keys.sign_journal, clocks),
        platform=Platform(settings.platform_url, settings.token_file),
        sights={name: open_sight(name, access) for name, access in settings.networks.items()},
        clocks=clocks,
    )


def keys_of(settings: SignerSettings) -> Keys:
    """The keys, wherever they are. Raises what `core.keystore` names, `HsmUnavailable`, `SignerSettingsWrong`."""
    stored = None
    if settings.keystore_file is not None and settings.passphrase_file is not None:
        stored = open_keys(settings.keystore_file, settings.passphrase_file)
    if settings.hsm is not None:
        from holdfast.signer.pkcs11_keys import Pkcs11Keys  # only where the extra is installed

        hsm = settings.hsm
        return Pkcs11Keys(hsm.library, hsm.token, hsm.pin_file, journal=stored.sign_journal if stored else None)
    if stored is None:
        raise SignerSettingsWrong("keystore_file and passphrase_file, or [hsm]: keys are missing")
    return stored


def read_genesis(path: Path) -> SignedOrder:
    """The officers' genesis order. Raises `GenesisUnreadable`."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=SignedOrder)
    except (OSError, msgspec.DecodeError) as error:
        raise GenesisUnreadable(f"{path}: {error}") from None


async def run(signer: Signer, stopping: asyncio.Event) -> None:
    """Round after round until told to stop. Raises what ends the process: a journal that is wrong or unwritable."""
    genesis = read_genesis(signer.settings.genesis_file)
    try:
        while not stopping.is_set():
            try:
                await signer.begin(genesis, version("holdfast"))
                break
            except Unavailable as error:
                await _pause(error, stopping)
        log.info("started at entry %d", signer.record.head.seq)
        while not stopping.is_set():
            try:
                await signer.round()
            except Unavailable as error:
                await _pause(error, stopping)
    finally:
        await signer.close()


async def _pause(error: Unavailable, stopping: asyncio.Event) -> None:
    """Log it and wait. Raises it where no retry helps."""
    if not error.retry:
        raise error
    log.warning("waiting: %s", error)
    with suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), PAUSE_SECONDS)


async def _main(settings: SignerSettings) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await run(open_signer(settings), stopping)
    log.info("stopped")


def main() -> int:
    """Run the signer; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m holdfast.signer.main", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    given = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.INFO)
    try:
        if sys.flags.optimize:
            raise AssertionsOff
        asyncio.run(_main(load(given.config)))
    except HoldfastError as error:
        log.error("not running: %s", error)  # noqa: TRY400  an expected error says all in its text
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
