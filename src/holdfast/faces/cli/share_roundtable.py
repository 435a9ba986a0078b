"""`holdfast share roundtable`: learn how many addresses two thefts share, and which only if both agree. By files."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.faces.cli.terminal import JsonOption, emit

if TYPE_CHECKING:
    from holdfast.trace.share.round_folder import RoundFolder

app = typer.Typer(
    help="Two victims learn how many addresses their thefts share, and which only if both agree.", no_args_is_help=True
)

Folder = Annotated[
    Path, typer.Argument(metavar="ROUND", help="The round's folder; `mine/` in it is what you hand over.")
]


@app.command("start")
def start(  # noqa: PLR0913  one option of the command line each
    folder: Folder,
    case: Annotated[Path, typer.Argument(metavar="CASE", help="The theft.")],
    *,
    by: Annotated[str, typer.Option("--by", help="Your organisation, as the other knows it.")],
    incident: Annotated[str, typer.Option("--incident", help="The theft's id; default: the case's name.")] = "",
    own: Annotated[
        Path | None, typer.Option("--own", metavar="FILE", help="Addresses of yours and of customers: left out.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Open a round: services, your own and customers' addresses are left out; the rest is committed to, not shown.

    Example: `holdfast share roundtable start rounds/with-peer theft --by "Shop Ltd" --own own.txt`
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from holdfast.faces.cli.share_files import own_addresses
    from holdfast.faces.cli.trace_link import opened
    from holdfast.faces.cli.trace_sources import now
    from holdfast.trace.share.private_set import private_set
    from holdfast.trace.share.round_folder import RoundFolder
    from holdfast.trace.share.roundtable import Party

    with ExitStack() as stores:
        theft = opened(case, stores)
        mine = private_set(theft, own_addresses(own))
    party = Party(by, incident or theft.name, Ed25519PrivateKey.generate(), secrets.token_bytes(32), mine.elements)
    made = RoundFolder.create(folder, party, now())
    more: dict[str, object] = {"elements": len(mine.elements), "left_out": mine.cut}
    _say(made, [made.directory / "mine" / "1-offer.json"], more, as_json=as_json)


@app.command("take")
def take(
    folder: Folder,
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="What the other side handed over, in order.")],
    *,
    their_key: Annotated[str, typer.Option("--their-key", help="Their key, as they told you otherwise; hex.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Take the other side's messages and write what is yours to say next.

    Example: `holdfast share roundtable take rounds/with-peer 1-offer.json`
    """
    from holdfast.faces.cli.trace_sources import now
    from holdfast.trace.share.round_folder import RoundFolder

    made = RoundFolder(folder)
    for path in files:
        made.take(path.read_bytes(), now(), their_key)
    _say(made, made.go_on(now()), {}, as_json=as_json)


@app.command("agree")
def agree(folder: Folder, *, as_json: JsonOption = False) -> None:
    """Consent to be told which addresses are shared, and to tell. Nothing is opened before the other side does too.

    Example: `holdfast share roundtable agree rounds/with-peer`
    """
    from holdfast.faces.cli.trace_sources import now
    from holdfast.trace.share.round_folder import RoundFolder
    from holdfast.trace.share.roundtable import Kind, agreed

    made = RoundFolder(folder)
    so_far = made.so_far()
    written = [made.say(agreed(made.party, so_far, now()), now())] if so_far.said(Kind.AGREED) is None else []
    _say(made, [*written, *made.go_on(now())], {}, as_json=as_json)


@app.command("show")
def show(folder: Folder, *, as_json: JsonOption = False) -> None:
    """Show how far the round is: the count, and what was opened.

    Example: `holdfast share roundtable show rounds/with-peer --json`
    """
    from holdfast.trace.share.round_folder import RoundFolder

    _say(RoundFolder(folder), [], {}, as_json=as_json)


@app.command("audit")
def audit(folder: Folder, *, as_json: JsonOption = False) -> None:
    """Make a side's messages again from its secrets: whether it used the set that it committed to.

    Example: `holdfast share roundtable audit rounds/with-peer`
    """
    from holdfast.trace.share.round_folder import RoundFolder
    from holdfast.trace.share.roundtable import audit as check

    made = RoundFolder(folder)
    check(made.party, made.so_far())
    emit({"as_committed": True}, "every message was made from the committed set", as_json=as_json)


def _say(made: RoundFolder, written: list[Path], more: dict[str, object], *, as_json: bool) -> None:
    from holdfast.trace.share.roundtable import Kind, check_opened, fingerprint

    so_far = made.so_far()
    counted = so_far.said(Kind.COUNT) or so_far.heard(Kind.COUNT)
    opened = list(check_opened(so_far)) if so_far.heard(Kind.OPENED) is not None else None
    mine = so_far.said(Kind.OPENED)
    theirs = so_far.heard(Kind.OFFER)
    value: dict[str, object] = {
        "key": fingerprint(made.party.public),
        "their_key": fingerprint(theirs.key) if theirs is not None else "",
        "hand_over": [str(path) for path in written],
        "count": counted.count if counted is not None else None,
        "shared": opened if opened is not None else (list(mine.hits) if mine is not None else None),
        **more,
    }
    lines = [f"your key, to be read out:  {value['key']}"]
    if theirs is not None:
        lines.append(f"theirs ({theirs.by}):  {value['their_key']}")
    lines += [f"{name.replace('_', ' ')}: {number}" for name, number in more.items()]
    lines += [f"hand over: {path}" for path in written]
    if counted is not None:
        lines.append(f"addresses that both thefts share: {counted.count}")
    lines += [f"  {each}" for each in (opened or (mine.hits if mine is not None else ()))]
    emit(value, "\n".join(lines), as_json=as_json)
