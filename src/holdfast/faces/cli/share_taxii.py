"""`holdfast share taxii`: serve collections to peers, and ask theirs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.faces.cli.terminal import JsonOption, emit, say

if TYPE_CHECKING:
    from holdfast.trace.share.taxii_client import TaxiiClient

app = typer.Typer(help="TAXII 2.1: offer collections to peers, read and add to theirs.", no_args_is_help=True)

Root = Annotated[str, typer.Argument(metavar="URL", help="Of their API root, as `https://host/victims`.")]
CollectionId = Annotated[str, typer.Argument(metavar="COLLECTION", help="Its id; `collections` lists them.")]
Name = Annotated[str, typer.Option("--as", help="Your name there.")]
TokenFile = Annotated[Path, typer.Option("--token-file", help="Your token there; for its owner alone (mode 0600).")]
Certificates = Annotated[
    Path | None, typer.Option("--certificates", metavar="PEM", help="Trust these for TLS, instead of the system's.")
]
PeerName = Annotated[str, typer.Option("--peer", help="What you call who runs it.")]


@app.command("serve")
def serve(
    config: Annotated[Path, typer.Argument(metavar="FILE", help="What you offer to whom (see the docs).")],
) -> None:
    """Serve the collections of a settings file until told to stop. Nothing else is served.

    Example: `holdfast share taxii serve taxii.toml`
    """
    from holdfast.faces.api.taxii import serve as run

    run(config)


@app.command("token")
def token(
    name: Annotated[str, typer.Argument(metavar="PEER", help="For whom.")], *, as_json: JsonOption = False
) -> None:
    """Make a token for a peer: it is shown once; what stands in the settings does not open anything.

    Example: `holdfast share taxii token "other victim"`
    """
    from holdfast.trace.share.taxii_settings import new_token

    made, digest = new_token()
    lines = f'hand over: {made}\n\n[[peers]]\nname = "{name}"\ntoken_sha256 = "{digest}"'
    emit({"peer": name, "token": made, "token_sha256": digest}, lines, as_json=as_json)


@app.command("collections")
def collections(
    root: Root, *, name: Name, token_file: TokenFile, certificates: Certificates = None, as_json: JsonOption = False
) -> None:
    """List what may be read or added to.

    Example: `holdfast share taxii collections https://peer.example/victims --as shop --token-file peer.token`
    """
    with _client(root, name, token_file, certificates) as client:
        found = client.collections()
    lines = [f"{each.get('id')}  {'r' if each.get('can_read') else '-'}{'w' if each.get('can_write') else '-'}  "
             f"{each.get('title')}" for each in found]  # fmt: skip
    emit(found, "\n".join(lines) or "none", as_json=as_json)


@app.command("pull")
def pull(  # noqa: PLR0913  one option of the command line each
    root: Root,
    collection: CollectionId,
    *,
    name: Name,
    token_file: TokenFile,
    peer: PeerName,
    labels: Annotated[Path, typer.Option("--labels", metavar="DIR", help="Put labels there, through admission.")],
    mirror: Annotated[Path, typer.Option("--mirror", metavar="DIR", help="Keep what was read.")] = Path("peers"),
    believe: Annotated[int, typer.Option("--believe", min=0, max=100, help="The most that the peer is believed.")] = 50,
    certificates: Certificates = None,
    as_json: JsonOption = False,
) -> None:
    """Read what is new in a collection into labels: screening has it at its next look.

    Example: `holdfast share taxii pull https://peer.example/victims ID --as shop --token-file t --peer p --labels l`
    """
    from holdfast.runtime.clock import SYSTEM_CLOCK
    from holdfast.trace.labels.shelf import Shelf
    from holdfast.trace.share.pulling import Peer, pull as read, take_in

    at = int(SYSTEM_CLOCK.now().timestamp())
    with _client(root, name, token_file, certificates) as client:
        found = read(client, collection, mirror, peer, at * 1_000_000)
    kept, not_admitted = take_in(found.notices, Shelf(labels), Peer(peer, believe), at)
    refused = [*found.refused, *(f"{each.address}: {each.reason}: {each.why}" for each in not_admitted)]
    lines = [f"{found.fresh} new objects, {len(found.notices)} incidents, {kept} labels in {labels}"]
    lines += [f"refused: {each}" for each in refused]
    value = {"objects": found.fresh, "incidents": len(found.notices), "labels": kept, "refused": refused}
    emit(value, "\n".join(lines), as_json=as_json)


@app.command("push")
def push(  # noqa: PLR0913  one option of the command line each
    root: Root,
    collection: CollectionId,
    bundle: Annotated[Path, typer.Argument(metavar="FILE", help="A STIX bundle, as `holdfast share stix` writes it.")],
    *,
    name: Name,
    token_file: TokenFile,
    certificates: Certificates = None,
    as_json: JsonOption = False,
) -> None:
    """Add a bundle's objects to a collection.

    Example: `holdfast share taxii push https://peer.example/victims ID theft.stix.json --as shop --token-file t`
    """
    from holdfast.trace.share.notice import NoticeMalformed

    try:
        objects = json.loads(bundle.read_bytes())["objects"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoticeMalformed(f"{bundle.name}: {str(error)[:120]}") from None
    with _client(root, name, token_file, certificates) as client:
        refused = client.add(collection, objects)
    lines = [f"{len(objects) - len(refused)} of {len(objects)} objects were taken"]
    emit({"sent": len(objects), "refused": refused}, "\n".join([*lines, *refused]), as_json=as_json)
    if refused:
        raise typer.Exit(1)


def _client(root: str, name: str, token_file: Path, certificates: Path | None) -> TaxiiClient:
    from holdfast.runtime.secret_files import read_secret
    from holdfast.trace.share.taxii_client import TaxiiClient

    if root.startswith("http://") and not root.startswith(("http://127.0.0.1", "http://localhost")):
        say("holdfast: the token goes through the network in clear; use https.")
    return TaxiiClient(root, name, read_secret(token_file), str(certificates) if certificates else True)
