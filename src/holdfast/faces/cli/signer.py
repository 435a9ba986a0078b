"""`holdfast signer` and `holdfast rotate float`: make a signer's keys and settings, show their public part, renew them.

Run on the signer's own host. Nothing here signs a payout, and no key is ever printed.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.core.errors import BadInput, Conflict
from holdfast.faces.cli.terminal import JsonOption, emit, say

if TYPE_CHECKING:
    from holdfast.core.journal import StoredEntry
    from holdfast.signer.keys import KeystoreKeys
    from holdfast.signer.settings import SignerSettings

app = typer.Typer(help="Make, show and recover a signer.", no_args_is_help=True)
rotate = typer.Typer(help="Renew keys.", no_args_is_help=True)
DirectoryOption = Annotated[Path, typer.Option("--dir", "-d", metavar="DIR", help="The signer's directory.")]
GENERATIONS_MAX = 99


class SignerExists(Conflict):
    """There is a signer in that directory, and keys are never overwritten. Name a directory that is not there."""

    code = "signer-exists"


class SignerNodeMissing(BadInput):
    """A signer looks at every network through a node of its own. Give `--node NETWORK=URL` for each."""

    code = "signer-node-missing"


class KeysInModule(Conflict):
    """This signer's keys are in a hardware module. Use the module's own tools, then `holdfast vault order`."""

    code = "keys-in-module"


@app.command("init")
def init(  # noqa: PLR0913  one option of the command line each
    directory: Annotated[Path, typer.Argument(help="Where to put it; must not exist yet.")],
    *,
    node: Annotated[list[str], typer.Option(metavar="NETWORK=URL", help="A network and the signer's own node on it.")],
    root_fingerprint: Annotated[str, typer.Option(help="Of the officers' quorum, obtained out of band.")],
    watchtower: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the watchtower listens.")],
    platform: Annotated[str, typer.Option(metavar="URL", help="Where the platform's API is.")],
    as_json: JsonOption = False,
) -> None:
    """Make a signer: fresh float, gas and journal keys, sealed, and its settings. Run it on the signer's own host.

    Example: `holdfast signer init /srv/signer --node litecoin=http://127.0.0.1:9332 --root-fingerprint 3f…
    --watchtower tower:8790 --platform https://pay.example.org`
    """
    from holdfast.core.networks import known_network
    from holdfast.faces.cli.zones import SignerPlan, make_signer
    from holdfast.runtime.settings import NodeSettings

    if directory.exists():
        raise SignerExists(str(directory))
    pairs = [one.partition("=") for one in node]
    if any(not url for _, _, url in pairs):
        raise SignerNodeMissing(", ".join(node))
    networks = {known_network(name): NodeSettings(url=url) for name, _, url in pairs}
    plan = SignerPlan(
        networks=list(networks),
        nodes={network.id: [access] for network, access in networks.items()},
        tokens={},
        root_fingerprint=root_fingerprint,
        platform_url=platform,
        tower=watchtower,
    )
    public = make_signer(directory, plan)
    say(f"Next: officers make and sign the genesis order from {directory}/public.json; it goes to genesis.json there.")
    say(f"The platform's `[signer] token_file` holds what stands in {directory}/token.")
    emit(public, "\n".join(f"{name}  {key}" for name, key in public.items()), as_json=as_json)


@app.command("keys")
def keys(*, directory: DirectoryOption = Path("signer"), as_json: JsonOption = True) -> None:
    """Print the signer's public keys: what officers need for the genesis order.

    Example: `holdfast signer keys --dir shop/signer`
    """
    settings = _settings(directory)
    public = _keys(settings).public_keys()
    emit(public, "\n".join(f"{name}  {key}" for name, key in public.items()), as_json=as_json)


@app.command("replay")
def replay(*, directory: DirectoryOption = Path("signer"), as_json: JsonOption = False) -> None:
    """Write the journal anew, as the watchtower holds it: after a lost disk, or where an old copy was restored.

    Example: `holdfast signer replay --dir /srv/signer`
    """
    settings = _settings(directory)
    from holdfast.signer.store import replay as write

    entries = asyncio.run(_fetch_all(settings))
    write(settings.journal_file, entries)
    emit({"entries": len(entries)}, f"{settings.journal_file}: {len(entries)} entries", as_json=as_json)


@app.command("re-anchor")
def re_anchor(
    order_file: Annotated[Path, typer.Argument(metavar="FILE", help="A re-anchoring order that the quorum signed.")],
    *,
    directory: DirectoryOption = Path("signer"),
    as_json: JsonOption = False,
) -> None:
    """Let the journal go on although the watchtower lost its store, or is a new one. The signer must not run.

    Before they sign, officers compare entry and hash with the platform's mirror: what was signed after it is forgotten.

    Example: `holdfast vault order re-anchor …`, signed; then `holdfast signer re-anchor order.json --dir /srv/signer`
    """
    from holdfast.signer.clocks import MachineClocks
    from holdfast.signer.main import read_genesis
    from holdfast.signer.store import re_anchor as take

    settings = _settings(directory)
    head = take(settings.journal_file, read_genesis(order_file), MachineClocks().wall_ms())
    emit({"seq": head.seq, "head": head.hash}, f"taken as entry {head.seq}; start the signer", as_json=as_json)


@rotate.command("float")
def rotate_float(
    network: Annotated[str, typer.Argument(help="A network's CAIP-2 id or name.")],
    *,
    directory: DirectoryOption = Path("signer"),
    as_json: JsonOption = False,
) -> None:
    """Make the next float key of a network. It counts once the officers have signed its order; then all that lies under
    the old key goes to the vault.

    Example: `holdfast rotate float litecoin --dir /srv/signer`, then `holdfast vault order rotate-float …`
    """
    from holdfast.core.networks import known_network
    from holdfast.signer.keys import read_private

    settings = _settings(directory)
    found, held = known_network(network), _keys(settings)
    keystore_file, passphrase_file = _files(settings)
    taken = held.public_keys()
    name = next(f"{found.id}/{n}" for n in range(2, GENERATIONS_MAX) if f"{found.id}/{n}" not in taken)
    fresh, kept = (
        keystore_file.with_suffix(".new"),
        keystore_file.with_suffix(f".before-{len(taken)}"),
    )
    renewed = held.with_fresh([name])
    renewed.write(fresh, read_private(passphrase_file).decode().strip())
    os.link(keystore_file, kept)
    os.replace(fresh, keystore_file)
    say(f"The keystore as it was is {kept}. Restart the signer, then:")
    say(f"  holdfast vault order rotate-float {found.id} --key {name} --signer public.json …, signed by the officers;")
    say("  hand the signed order in (`POST /v1/orders`); on EVM networks deploy the new float's contract before.")
    emit({"name": name, "public_key": renewed.public_keys()[name]}, name, as_json=as_json)


async def _fetch_all(settings: SignerSettings) -> list[StoredEntry]:
    """The whole journal, from the watchtower."""
    from holdfast.signer.clocks import MachineClocks
    from holdfast.signer.main import keys_of
    from holdfast.signer.tower import Tower

    held = keys_of(settings)
    tower = Tower(settings.tower_host, settings.tower_port, held.sign_journal, MachineClocks())
    try:
        return await tower.fetch()
    finally:
        await tower.close()


def _keys(settings: SignerSettings) -> KeystoreKeys:
    from holdfast.signer.keys import open_keys

    return open_keys(*_files(settings))


def _files(settings: SignerSettings) -> tuple[Path, Path]:
    if settings.keystore_file is None or settings.passphrase_file is None:
        raise KeysInModule("its tools make and show keys")
    return settings.keystore_file, settings.passphrase_file


def _settings(directory: Path) -> SignerSettings:
    from holdfast.signer.settings import load

    return load(directory / "signer.toml")
