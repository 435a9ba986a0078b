"""`holdfast incident`: read the record of an incident, add to it, seal evidence, hand it over, verify it anywhere.

It works on the incident process' own directory, as that one's account; the process may run meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.core.errors import BadInput, Conflict
from holdfast.faces.cli.passphrases import PassphraseFile, old_passphrase
from holdfast.faces.cli.terminal import JsonOption, emit, say

if TYPE_CHECKING:
    from holdfast.incident.affected import Affected
    from holdfast.incident.record import Incident, Line, Moved, Touched
    from holdfast.incident.settings import IncidentSettings
    from holdfast.incident.store import Store

app = typer.Typer(help="The record of a security event: timeline, evidence, decisions.", no_args_is_help=True)

ConfigFile = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The incident process' settings.")]
CONFIG = Path("incident/incident.toml")
IdArgument = Annotated[str, typer.Argument(metavar="[ID]", help="An incident's id; without it, the newest one.")]
Transactions = Annotated[
    list[str] | None,
    typer.Option("--transaction", metavar="NETWORK/ID[:PLACE]", help="A transaction that it is about; repeatable."),
]
Keystore = Annotated[Path, typer.Option("--keystore", help="Keystore of who decides: an officer's, or a freeze key.")]


class NoIncident(BadInput):
    """There is no incident. Nothing has happened; `holdfast incident list` would show it."""

    code = "no-incident"


class DeciderUnknown(BadInput):
    """This key is neither an officer's nor under `[people]`. Add it to the incident process' settings first."""

    code = "decider-unknown"


class EvidenceNotWhole(Conflict):
    """The files are not as they were sealed. Keep them as they are, fetch another copy, and note who had them."""

    code = "evidence-not-whole"


@app.command("list")
def list_(*, config: ConfigFile = CONFIG, as_json: JsonOption = False) -> None:
    """List every incident, the newest last.

    Example: `holdfast incident list --config incident/incident.toml`
    """
    store = opened(config)[1]
    rows = [_row(store.read(one)) for one in store.ids()]
    lines = [f"{row['id']}  {row['state']:<9}  {row['opened']}  {row['why']}" for row in rows]
    emit(rows, "\n".join(lines) or "no incident", as_json=as_json)


@app.command("show")
def show(incident_id: IdArgument = "", *, config: ConfigFile = CONFIG, as_json: JsonOption = False) -> None:
    """Show the timeline, the transactions and balances that it touches, decisions, seals and who was told.

    Example: `holdfast incident show --json`
    """
    import msgspec

    from holdfast.incident.main import open_outbox

    settings, store = opened(config)
    incident = store.read(one_of(store, incident_id))
    affected = affected_by(store, incident)
    told = [one for one in open_outbox(settings).deliveries() if one.alert.incident == incident.id]
    value = {
        **_row(incident),
        "head": incident.head,
        "timeline": [{"seq": line.seq, "at_ms": line.at_ms, **_body(line)} for line in incident.lines],
        "transactions": msgspec.to_builtins(incident.transactions),
        "affected": msgspec.to_builtins(affected),
        "decisions": msgspec.to_builtins(incident.decisions),
        "alerts": msgspec.to_builtins(told),
    }
    text = [f"{incident.id}  {incident.state}", "", *(_line_text(line) for line in incident.lines)]
    text += ["", *_touched_text(incident.transactions), *_affected_text(affected)]
    text += [f"told {', '.join(one.delivered) or 'nobody yet'}: {one.alert.kind} {one.alert.scope}" for one in told]
    emit(value, "\n".join(text), as_json=as_json)


@app.command("note")
def note(
    text: Annotated[str, typer.Argument(help="What is to be written down.")],
    *,
    by: Annotated[str, typer.Option(help="Who writes.")],
    incident_id: Annotated[str, typer.Option("--incident", help="Its id; default: the newest.")] = "",
    transactions: Transactions = None,
    config: ConfigFile = CONFIG,
) -> None:
    """Write something into the timeline; it cannot be taken out again.

    Example: `holdfast incident note "exchange confirmed the block" --by ada`
    """
    from holdfast.incident.record import Noted

    store = opened(config)[1]
    body = Noted(by, text, tuple(_transaction(one) for one in transactions or ()))
    incident = store.append(one_of(store, incident_id), body)
    say(f"line {len(incident.lines)} of {incident.id}, {incident.head}")


@app.command("decide")
def decide(  # noqa: PLR0913  one option of the command line each
    what: Annotated[str, typer.Argument(help="What is decided.")],
    *,
    why: Annotated[str, typer.Option(help="Why.")],
    keystore: Keystore,
    incident_id: Annotated[str, typer.Option("--incident", help="Its id; default: the newest.")] = "",
    passphrase_file: PassphraseFile = None,
    config: ConfigFile = CONFIG,
) -> None:
    """Write down a decision, signed by who takes it.

    Example: `holdfast incident decide "rotate the float of litecoin" --why "it was spent" --keystore ada.keystore`
    """
    _decide(opened(config), incident_id, (what, why), _signer(keystore, passphrase_file))


@app.command("close")
def close(
    *,
    why: Annotated[str, typer.Option(help="Why it is over.")],
    keystore: Keystore,
    incident_id: Annotated[str, typer.Option("--incident", help="Its id; default: the newest.")] = "",
    passphrase_file: PassphraseFile = None,
    config: ConfigFile = CONFIG,
) -> None:
    """Close an incident, by a signed decision; refused while anything that it is about stands still.

    Example: `holdfast incident close --why "restored, keys rotated" --keystore ada.keystore`
    """
    from holdfast.core.states import IncidentState
    from holdfast.incident.record import Moved

    name, key = _signer(keystore, passphrase_file)
    moved = Moved(IncidentState.CLOSED, name)
    _decide(opened(config), incident_id, ("close the incident", why), (name, key), moved)


@app.command("seal")
def seal(incident_id: IdArgument = "", *, config: ConfigFile = CONFIG, as_json: JsonOption = False) -> None:
    """Take and seal evidence once more, now.

    Example: `holdfast incident seal`
    """
    import asyncio

    import msgspec

    from holdfast.incident import gather

    settings, store = opened(config)
    incident, manifest = asyncio.run(gather.seal(settings, store, one_of(store, incident_id)))
    lines = [f"seal {manifest.number} of {incident.id}: {len(manifest.files)} files"]
    lines += [f"not taken: {one.source}: {one.why}" for one in manifest.missing]
    emit(msgspec.to_builtins(manifest), "\n".join(lines), as_json=as_json)


@app.command("hand-over")
def hand_over(  # noqa: PLR0913  one option of the command line each
    *,
    giver: Annotated[str, typer.Option("--from", help="Who gives it.")],
    receiver: Annotated[str, typer.Option("--to", help="Who takes it.")],
    why: Annotated[str, typer.Option(help="Why, and under which reference.")],
    number: Annotated[int, typer.Option("--seal", help="Number of the seal; default: the newest.")] = 0,
    incident_id: Annotated[str, typer.Option("--incident", help="Its id; default: the newest.")] = "",
    config: ConfigFile = CONFIG,
) -> None:
    """Write down that a seal went from one person to another: the chain of custody.

    Example: `holdfast incident hand-over --from ada --to "Kripo Berlin" --why "case 12/26"`
    """
    from holdfast.incident.record import HandedOver, Sealed

    store = opened(config)[1]
    incident = store.read(one_of(store, incident_id))
    seals = [one for one in incident.of(Sealed) if number in (0, one.number)]
    if not seals:
        raise typer.BadParameter(f"{incident.id} has no seal {number or ''}")
    incident = store.append(incident.id, HandedOver(seals[-1].manifest, giver, receiver, why))
    say(f"line {len(incident.lines)} of {incident.id}: seal {seals[-1].number} went to {receiver}")


@app.command("export")
def export(
    incident_id: IdArgument = "",
    *,
    out: Annotated[Path, typer.Option(help="The new file, a tar archive.")],
    config: ConfigFile = CONFIG,
) -> None:
    """Write one file with the timeline and all evidence, which `verify` checks alone on another machine.

    Example: `holdfast incident export --out inc.tar`
    """
    from holdfast.incident.archive import write_archive

    store = opened(config)[1]
    chosen = one_of(store, incident_id)
    write_archive(store, chosen, out)
    say(f"{out}: {chosen}; verify it with: holdfast incident verify {out} --key {store.public_key}")


@app.command("verify")
def verify(
    place: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="From `export`; else the newest here.")] = None,
    *,
    key: Annotated[str, typer.Option(help="The incident process' public key; needed for a FILE.")] = "",
    head: Annotated[str, typer.Option(help="Hash of a line that must be in it, as alerts carry one.")] = "",
    config: ConfigFile = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Check every line, signature and file; say what was changed, lost or added.

    Example: `holdfast incident verify inc.tar --key 5f0c…`
    """
    import msgspec

    from holdfast.incident import evidence
    from holdfast.incident.archive import read_archive

    if place is not None and not key:
        raise typer.BadParameter("a file can only be verified with --key, obtained apart from it")
    if place is not None:
        found = read_archive(place)
    else:
        store = opened(config)[1]
        found, key = store.found(one_of(store, "")), key or store.public_key
    incident, findings = evidence.verify(found, key, head)
    whole = f"{len(found.digests)} files as they were sealed, {len(incident.lines) if incident else 0} lines"
    text = "\n".join(f"{one.path}: {one.what}" for one in findings) or whole
    value = {"whole": not findings, "findings": msgspec.to_builtins(findings), "incident": incident and incident.id}
    emit(value, text, as_json=as_json)
    if findings:
        raise EvidenceNotWhole(f"{len(findings)} findings")


def opened(config: Path) -> tuple[IncidentSettings, Store]:
    """The settings in a file, and the incidents that are kept by them. Raises `IncidentSettingsWrong`."""
    from holdfast.incident.main import open_store
    from holdfast.incident.settings import load

    settings = load(config)
    return settings, open_store(settings)


def one_of(store: Store, incident_id: str) -> str:
    """This incident's id, the newest's where none is named. Raises `NoIncident`."""
    if incident_id:
        return incident_id
    ids = store.ids()
    if not ids:
        raise NoIncident
    return ids[-1]


def _decide(
    opened: tuple[IncidentSettings, Store],
    incident_id: str,
    said: tuple[str, str],
    who: tuple[str, bytes],
    *more: Moved,
) -> None:
    """Sign and write down. `said`: what and why; `who`: name and private key; `more`: what follows from it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from holdfast.incident.record import Decision, sign_decision

    settings, store = opened
    key = Ed25519PrivateKey.from_private_bytes(who[1])
    public = key.public_key().public_bytes_raw().hex()
    name = next((name for name, known in settings.people.items() if known == public), None)
    if name is None:
        raise DeciderUnknown(f"{who[0]}: {public}")
    incident = store.read(one_of(store, incident_id))
    decision = Decision(incident.id, incident.head, name, public, store.now_ms(), *said)
    after = store.append(incident.id, sign_decision(decision, key), *more)
    say(f"{name} decided; line {len(after.lines)} of {after.id}, {after.head}; it is {after.state}")


def _signer(keystore_file: Path, passphrase_file: Path | None) -> tuple[str, bytes]:
    """Name and private key of who decides."""
    from holdfast.vault import keystore
    from holdfast.vault.freezes import OFFICER, SingleKey, signing_key

    sealed = keystore.read(keystore_file, OFFICER, SingleKey.FREEZE)
    name = sealed.public.get("name", str(keystore_file))
    return name, signing_key(sealed, old_passphrase(passphrase_file, name))


def _transaction(text: str) -> Touched:
    from holdfast.incident.changes import touched

    found = touched("*", text)
    if not found.network or not found.transaction:
        raise typer.BadParameter(f"{text} is not NETWORK/ID or NETWORK/ID:PLACE")
    return found


def _row(incident: Incident) -> dict[str, object]:
    from holdfast.incident.record import Opened

    [opened] = incident.of(Opened)
    state = incident.state.value
    return {"id": incident.id, "state": state, "opened": _time(incident.opened_ms), "why": opened.why}


def _body(line: Line) -> dict[str, object]:
    import msgspec

    found = msgspec.to_builtins(line.body)
    assert isinstance(found, dict)  # noqa: S101  every body is an object
    return found


def _line_text(line: Line) -> str:
    words = {name: value for name, value in _body(line).items() if value not in ("", [], None)}
    kind = str(words.pop("line"))
    for name in ("happened_ms", "ref", "signature"):
        words.pop(name, None)
    text = "  ".join(str(words.pop(name)) for name in ("zone", "kind", "text") if name in words)
    rest = "  ".join(f"{name}={value}" for name, value in words.items() if name != "transactions")
    return f"{line.seq:>4}  {_time(line.at_ms)}  {kind:<11}  {text}  {rest}".rstrip()


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S") + f".{at_ms % 1_000:03d}Z"


def affected_by(store: Store, incident: Incident) -> Affected | None:
    """What the newest seal found to be touched."""
    import msgspec

    from holdfast.incident.affected import Affected
    from holdfast.incident.gather import AFFECTED
    from holdfast.incident.record import Sealed

    for seal_ in reversed(incident.of(Sealed)):
        path = store.path(incident.id) / "evidence" / f"{seal_.number:04d}" / AFFECTED
        if path.is_file():
            return msgspec.json.decode(path.read_bytes(), type=Affected)
    return None


def _touched_text(transactions: Sequence[Touched]) -> list[str]:
    return [
        f"transaction {one.network} {one.transaction}{'' if one.output is None else f':{one.output}'}"
        for one in transactions
    ]


def _affected_text(affected: Affected | None) -> list[str]:
    if affected is None:
        return ["no evidence was sealed yet"]
    lines = []
    for one in affected.transactions:
        where = f"in block {one.height}" if one.height is not None else "waiting for a block"
        lines.append(f"{one.node}: {one.transaction} {where}, {'journaled' if one.is_journaled else 'NOT journaled'}")
        lines += [f"    {paid.units} of {paid.asset} to {paid.destination}" for paid in one.payments]
    for held in affected.balances:
        there = "" if held.chain_units is None else f", on the chain {held.chain_units}"
        lines.append(f"{held.holder} {held.account} {held.asset}: by the journal {held.journal_units}{there}")
    return lines
