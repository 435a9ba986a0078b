"""`holdfast share`: warn others, hear them, and ask whether thefts share addresses without telling which."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.core.errors import BadInput
from holdfast.faces.cli import share_roundtable, share_taxii
from holdfast.faces.cli.terminal import JsonOption, emit, say

if TYPE_CHECKING:
    from holdfast.trace.share.notice import Notice, Tlp
    from holdfast.trace.share.stix import Received

app = typer.Typer(help="Warn the other victims and hear them: STIX, MISP, TAXII, roundtable.", no_args_is_help=True)
app.add_typer(share_taxii.app, name="taxii")
app.add_typer(share_roundtable.app, name="roundtable")

What = Annotated[Path, typer.Argument(metavar="CASE|FILE", help="A case, to be told; or a file of others, to be read.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Where to write; else standard output.")]
By = Annotated[str, typer.Option("--by", help="The organisation that tells, as others know it.")]
IncidentId = Annotated[str, typer.Option("--incident", help="Its id for those who share; default: the case's name.")]
TlpOption = Annotated[
    str, typer.Option("--tlp", help="clear, green, amber, amber+strict or red; green only once the police agree.")
]
Own = Annotated[
    Path | None, typer.Option("--own", metavar="FILE", help="Addresses of yours and of customers: they never leave.")
]
Revoke = Annotated[
    list[str] | None, typer.Option("--revoke", metavar="NETWORK:ADDRESS", help="Take an address back; repeatable.")
]
Confidence = Annotated[int, typer.Option("--confidence", min=0, max=100, help="The most that you stand for.")]
LabelsDir = Annotated[
    Path | None, typer.Option("--labels", metavar="DIR", help="Put what was read there, through admission.")
]
Peer = Annotated[str, typer.Option("--peer", help="Whose file it is; default: who tells, as it says.")]
Believe = Annotated[
    int,
    typer.Option("--believe", min=0, max=100, help="The most that the peer is believed; over 50 you vouch for him."),
]


class TlpUnknown(BadInput):
    """There is no such light. Write clear, green, amber, amber+strict or red."""

    code = "tlp-unknown"


class WhoTells(BadInput):
    """It is not said who tells. Name your organisation with `--by`, as others know it."""

    code = "who-tells"


@dataclass(frozen=True, slots=True)
class _Telling:
    """What the command line says of telling."""

    by: str
    incident: str
    tlp: str
    own: Path | None
    revoke: list[str]
    confidence: int


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the command line says of reading."""

    labels: Path | None
    peer: str
    believe: int


@app.command("stix")
def stix(  # noqa: PLR0913  one option of the command line each
    what: What,
    *,
    out: Out = None,
    by: By = "",
    incident: IncidentId = "",
    tlp: TlpOption = "amber+strict",
    own: Own = None,
    revoke: Revoke = None,
    confidence: Confidence = 50,
    labels: LabelsDir = None,
    peer: Peer = "",
    believe: Believe = 50,
    as_json: JsonOption = False,
) -> None:
    """Write a case as a STIX 2.1 bundle, or read a bundle of others.

    Example: `holdfast share stix theft --by "Shop Ltd" --out theft.stix.json`
    """
    from holdfast.trace.share import stix as format_

    telling = _Telling(by, incident, tlp, own, revoke or [], confidence)
    _either(what, out, telling, _Reading(labels, peer, believe), (format_.bundle, format_.read, as_json))


@app.command("misp")
def misp(  # noqa: PLR0913  one option of the command line each
    what: What,
    *,
    out: Out = None,
    by: By = "",
    incident: IncidentId = "",
    tlp: TlpOption = "amber+strict",
    own: Own = None,
    revoke: Revoke = None,
    confidence: Confidence = 50,
    labels: LabelsDir = None,
    peer: Peer = "",
    believe: Believe = 50,
    as_json: JsonOption = False,
) -> None:
    """Write a case as a MISP event, or read an event of others.

    Example: `holdfast share misp theft --by "Shop Ltd" --tlp amber --out theft.misp.json`
    """
    from holdfast.trace.share import misp as format_

    telling = _Telling(by, incident, tlp, own, revoke or [], confidence)
    _either(what, out, telling, _Reading(labels, peer, believe), (format_.event, format_.read, as_json))


_Format = tuple["Callable[[Notice], bytes]", "Callable[[bytes], Received]", bool]


def _either(what: Path, out: Path | None, telling: _Telling, reading: _Reading, how: _Format) -> None:
    write, read, as_json = how
    if what.is_dir():
        document = write(_notice(what, telling))
        if out is None:
            print(document.decode())
            return
        out.write_bytes(document)
        say(f"{out}: {len(document)} bytes, TLP:{telling.tlp.upper()}. Look through it before you send it.")
        return
    from holdfast.trace.share.notice import NoticeMalformed

    try:
        document = what.read_bytes()
    except OSError as error:
        raise NoticeMalformed(f"{what.name}: {error.strerror}") from None
    _read(read(document), reading, as_json=as_json)


def _notice(case: Path, telling: _Telling) -> Notice:
    from holdfast.faces.cli.share_files import own_addresses, revoking
    from holdfast.faces.cli.trace_link import opened
    from holdfast.faces.cli.trace_sources import now
    from holdfast.trace.case import Case
    from holdfast.trace.share.leaving import Telling, notice

    if not telling.by:
        raise WhoTells
    document = Case(case).document
    with ExitStack() as stores:
        said = Telling(
            incident=telling.incident or document.name,
            name=document.name,
            by=telling.by,
            at=now(),
            created_at=document.created_at,
            tlp=_tlp(telling.tlp),
            confidence=telling.confidence,
            own=own_addresses(telling.own),
        )
        return revoking(notice(opened(case, stores), said), telling.revoke)


def _tlp(text: str) -> Tlp:
    from holdfast.trace.share.notice import Tlp

    plain = text.lower().removeprefix("tlp:")
    if plain not in {each.value for each in Tlp}:
        raise TlpUnknown(text[:40])
    return Tlp(plain)


def _read(received: Received, reading: _Reading, *, as_json: bool) -> None:
    import msgspec

    from holdfast.faces.cli.trace_sources import now
    from holdfast.trace.labels.shelf import Shelf
    from holdfast.trace.share.pulling import Peer, take_in

    kept, refused = 0, list(received.refused)
    if reading.labels is not None:
        told_by = next((each.by for each in received.notices), "")
        peer = Peer(reading.peer or told_by or "a file", reading.believe)
        kept, not_admitted = take_in(received.notices, Shelf(reading.labels), peer, now())
        refused += [f"{each.address}: {each.reason}: {each.why}" for each in not_admitted]
    notices = msgspec.to_builtins(received.notices)
    lines = [
        f"{each.name} ({each.incident}) by {each.by}, TLP:{each.tlp.upper()}: {len(each.addresses)} addresses, "
        f"{len(each.transactions)} transactions"
        for each in received.notices
    ]
    lines += [f"kept {kept} labels in {reading.labels}"] if reading.labels is not None else []
    lines += [f"refused: {each}" for each in refused]
    emit({"notices": notices, "kept": kept, "refused": refused}, "\n".join(lines) or "nothing", as_json=as_json)
