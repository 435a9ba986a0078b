"""`holdfast labels`: what is said of addresses: read feeds, look addresses up, decide about single claims."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.core.errors import BadInput
from holdfast.faces.cli.terminal import JsonOption, emit, say

if TYPE_CHECKING:
    from holdfast.trace.labels.claims import Feed
    from holdfast.trace.labels.tagpacks import Actors
    from holdfast.trace.model import LabelKind

app = typer.Typer(help="What is said of addresses: feeds, look-ups, decisions.", no_args_is_help=True)

Directory = Annotated[
    Path, typer.Option("--dir", help="Where labels are kept: shared, or a case's `labels/`.", show_default=True)
]
_HERE = Path("labels")


class LabelKindUnknown(BadInput):
    """There is no such kind of label. Write one that the detail lists."""

    code = "label-kind-unknown"


@dataclass(frozen=True)
class _How:
    """What a person says of the files that he adds."""

    name: str | None
    believe: int | None
    network: str
    kind: LabelKind | None
    at: int
    actors: Actors | None


def _now() -> int:
    from holdfast.runtime.clock import SYSTEM_CLOCK

    return int(SYSTEM_CLOCK.now().timestamp())


@app.command()
def add(  # noqa: PLR0913  one option each
    files: Annotated[
        list[Path], typer.Argument(exists=True, help="TagPacks or their folder, OFAC list or folder, CSV, JSON, text.")
    ],
    *,
    directory: Directory = _HERE,
    name: Annotated[
        str | None, typer.Option("--name", help="What the feed is called from one reading to the next.")
    ] = None,
    believe: Annotated[
        int | None,
        typer.Option("--believe", min=0, max=100, help="The most that it is believed; above 50 you vouch for it."),
    ] = None,
    network: Annotated[str, typer.Option("--network", help="Of rows that name none: a ticker or CAIP-2 id.")] = "",
    kind: Annotated[str, typer.Option("--kind", help="Of rows that do not say: `theft`, `exchange`, …")] = "",
    date: Annotated[str, typer.Option("--date", help="Of a list without a date of its own: 2024-09-01.")] = "",
    actors: Annotated[Path | None, typer.Option(exists=True, help="GraphSense actor pack of the TagPacks.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Read label feeds and keep them. The next reading of the same feed follows it: what it says no longer, ends.

    Example: `holdfast labels add sdn_advanced.xml.bz2 --name "OFAC SDN" --dir labels`
    """
    from holdfast.trace.labels.shelf import KeptBook, Shelf
    from holdfast.trace.labels.tagpacks import actors_of, loaded, moment

    how = _How(
        name, believe, network, _kind(kind) if kind else None, moment(date) if date else _now(),
        actors_of(loaded(actors.read_bytes())) if actors else None,
    )  # fmt: skip
    shelf = Shelf(directory)
    read: list[Feed] = []
    for path in _packs(files, actors):
        feed = shelf.keep(_read(path, how))
        read.append(feed)
        say(f"{feed.family}: {len(feed.labels)} labels, {len(feed.refused)} rows refused while reading")
    book = KeptBook(directory)
    say(f"{len(book)} labels count in {directory}; refused: {book.refused_by_reason() or 'none'}")
    emit(
        {
            "feeds": [{"name": each.family, "labels": len(each.labels), "refused": len(each.refused)} for each in read],
            "labels": len(book),
            "refused": book.refused_by_reason(),
        },
        "",
        as_json=as_json,
    )


def _packs(files: list[Path], actors: Path | None) -> list[Path]:
    """The files, and of a folder of TagPacks each pack; without the actor pack itself."""
    found: list[Path] = []
    for path in files:
        packs = sorted(path.rglob("*.yaml")) if path.is_dir() else []
        found += packs or [path]
    known = actors.resolve() if actors else None
    return [path for path in found if path.resolve() != known and not path.name.endswith(".actorpack.yaml")]


def _read(path: Path, how: _How) -> Feed:
    from holdfast.trace.labels.claims import UNPROVEN
    from holdfast.trace.labels.feeds import Reading, read_file

    is_tagpack = path.suffix in (".yaml", ".yml")
    ceiling = how.believe if how.believe is not None else 100 if is_tagpack else UNPROVEN
    named = how.name or ("OFAC SDN" if path.is_dir() or ".xml" in path.name else path.stem)
    return read_file(
        path,
        Reading(
            named, how.at, ceiling, network=how.network, kind=how.kind, name=how.name or path.stem, actors=how.actors
        ),
    )


def _kind(text: str) -> LabelKind:
    from holdfast.trace.labels.kinds import kind_of_word
    from holdfast.trace.model import LabelKind

    found = kind_of_word(text)
    if found is None:
        raise LabelKindUnknown(f"{text[:40]!r}; there are {', '.join(LabelKind)}")
    return found


@app.command()
def show(
    address: Annotated[str, typer.Argument(help="The address.")],
    *,
    network: Annotated[str, typer.Option("--network", help="A ticker or CAIP-2 id.")] = "eip155:*",
    directory: Directory = _HERE,
    as_json: JsonOption = False,
) -> None:
    """All that is said of an address, by whom and until when; and what was refused of it.

    Example: `holdfast labels show 0x7a250d5630B4cF539739dF2C5dAcb4c659F2488D --network ETH`
    """
    import msgspec

    from holdfast.trace.labels.addresses import key_of, place_of
    from holdfast.trace.labels.book import holds
    from holdfast.trace.labels.shelf import KeptBook

    place, now = place_of(network, address), _now()
    book = KeptBook(directory)
    labels = book.once(place.network, place.address)
    wanted = key_of(place.network, place.address)[1]
    refused = [each for each in book.refused if key_of("eip155:*", each.address)[1] == wanted or each.address == wanted]
    for label in labels:
        until = "" if holds(label, now) else "  (holds no longer)"
        say(f"{label.kind:18} {label.name}  confidence {label.confidence}{until}\n  {label.source}")
    for refusal in refused:
        say(f"refused ({refusal.reason}): {refusal.name}, {refusal.kind}\n  {refusal.source}: {refusal.why}")
    if not labels and not refused:
        say("nobody says anything of it here")
    emit(
        {
            "labels": [msgspec.to_builtins(each) for each in labels],
            "refused": [msgspec.to_builtins(e) for e in refused],
        },
        "",
        as_json=as_json,
    )


@app.command()
def refused(*, directory: Directory = _HERE, as_json: JsonOption = False) -> None:
    """Every claim that is no label, with the reason.

    Example: `holdfast labels refused --dir labels --json`
    """
    import msgspec

    from holdfast.trace.labels.shelf import KeptBook

    book = KeptBook(directory)
    for each in book.refused:
        say(f"{each.reason:18} {each.address}  {each.name} ({each.kind})\n  {each.source}: {each.why}")
    emit([msgspec.to_builtins(each) for each in book.refused], "", as_json=as_json)


@app.command()
def conflicts(*, directory: Directory = _HERE, as_json: JsonOption = False) -> None:
    """Addresses of which sources disagree: both are kept, a person looks.

    Example: `holdfast labels conflicts --dir labels`
    """
    import msgspec

    from holdfast.trace.labels.shelf import KeptBook

    found = KeptBook(directory).conflicts(_now())
    for each in found:
        say(f"{each.address}: {each.why}")
        for label in each.labels:
            say(f"  {label.kind:18} {label.name}  confidence {label.confidence}  {label.source}")
    emit([msgspec.to_builtins(each) for each in found], "", as_json=as_json)


@app.command()
def decide(  # noqa: PLR0913  one option each
    address: Annotated[str, typer.Argument(help="The address of the claim.")],
    *,
    source: Annotated[str, typer.Option("--source", help="Whose claim, as `labels show` or `refused` prints it.")],
    admit: Annotated[bool, typer.Option("--admit/--refuse", help="Whether it shall count.")],
    by: Annotated[str, typer.Option("--by", help="Who decides.")],
    why: Annotated[str, typer.Option("--why", help="And why.")],
    network: Annotated[str, typer.Option("--network", help="A ticker or CAIP-2 id.")] = "ETH",
    directory: Directory = _HERE,
) -> None:
    """Admit a claim that the rules refuse, or refuse one that they admit. It is kept with your name.

    Example: `holdfast labels decide 0x… --source "my list" --admit --by "Ann" --why "seen in the theft itself"`
    """
    from holdfast.trace.labels.addresses import place_of
    from holdfast.trace.labels.claims import Decision
    from holdfast.trace.labels.shelf import Shelf

    place = place_of(network, address)
    Shelf(directory).decide(Decision(place.network, place.address, source, admit, by, _now(), why))
    say(f"{'admitted' if admit else 'refused'}: {place.address} of {source}")
