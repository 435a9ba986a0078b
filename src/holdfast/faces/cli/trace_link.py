"""`holdfast trace link`: what two or more thefts share, by classes of evidence."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.faces.cli.terminal import JsonOption, emit

if TYPE_CHECKING:
    from holdfast.trace.link.incident import Feature, Incident, Node
    from holdfast.trace.link.words import Comparison, Linking


def register(app: typer.Typer) -> None:
    """Adds the command to `holdfast trace`."""
    app.command("link")(link)


def link(  # noqa: PLR0913  one option of the command line each
    cases: Annotated[
        list[Path], typer.Argument(metavar="CASE…", help="Folders of cases, or notices of others (STIX, MISP).")
    ],
    *,
    control: Annotated[
        list[Path] | None, typer.Option("--control", help="A case known to be a stranger's, to measure rhythm by.")
    ] = None,
    vouch: Annotated[
        list[str] | None,
        typer.Option("--vouch", metavar="NETWORK:ADDRESS", help="An address of which you know that it is no service."),
    ] = None,
    signed_by: Annotated[str, typer.Option("--signed-by", help="Who takes responsibility for what is said.")] = "",
    seed: Annotated[int, typer.Option(help="Of the shuffles.", min=0)] = 20_230_722,
    as_json: JsonOption = False,
) -> None:
    """Compare thefts with each other: linked, similar, or nothing, and by which evidence.

    Services are taken out first. What is found is kept as `links.json` in each case. The program signs nothing.

    Example: `holdfast trace link ours theirs --json`
    """
    import msgspec

    from holdfast.faces.cli.trace_sources import now
    from holdfast.trace.case import Case, write_whole
    from holdfast.trace.link.compare import Asked, compare_all

    with ExitStack() as stores:
        vouched = frozenset(_node(each) for each in vouch or ())
        incidents = [opened(path, stores, vouched) for path in cases]
        controls = tuple(opened(path, stores) for path in control or ())
        found = compare_all(incidents, Asked(controls, seed), _program())
    if signed_by:
        signed = tuple(
            msgspec.structs.replace(each, signed_by=signed_by, signed_at=now()) for each in found.comparisons
        )
        found = msgspec.structs.replace(found, comparisons=signed)
    for path, incident in zip(cases, incidents, strict=True):
        if path.is_dir():
            mine = tuple(each for each in found.comparisons if incident.name in each.cases)
            write_whole(Case(path).links, msgspec.structs.replace(found, comparisons=mine))
    emit(msgspec.to_builtins(found), text(found), as_json=as_json)


def _program() -> str:
    from importlib.metadata import version

    return f"holdfast {version('holdfast')}"


def _node(text: str) -> Node:
    from holdfast.trace.labels.addresses import place_of

    network, _, address = text.rpartition(":")
    place = place_of(network, address)
    return place.network, place.address


def opened(path: Path, stores: ExitStack, vouched: frozenset[Node] = frozenset()) -> Incident:
    """A case's folder, or a notice from others, as something to compare. Raises `CaseMissing`, `NoticeMalformed`."""
    from holdfast.trace.case import Case
    from holdfast.trace.labels.deposits import NamesWithBehaviour
    from holdfast.trace.labels.shelf import KeptBook
    from holdfast.trace.link.incident import Incident

    if path.is_file():
        return _told(path, vouched)
    case = Case(path)
    store = stores.enter_context(case.store())
    names = NamesWithBehaviour(KeptBook(case.labels), store)
    return Incident(
        case.document.name, case.trace(), store, names, given=_given(path / "infrastructure.json"), vouched=vouched
    )


def _given(path: Path) -> tuple[Feature, ...]:
    """Private infrastructure that a person wrote down beside the case: a list of features. Raises `CaseUnreadable`."""
    import msgspec

    from holdfast.trace.case import CaseUnreadable
    from holdfast.trace.link.incident import Feature

    if not path.exists():
        return ()
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[Feature, ...])
    except msgspec.DecodeError as error:
        raise CaseUnreadable(f"{path.name}: {error}") from None


def _told(path: Path, vouched: frozenset[Node]) -> Incident:
    from holdfast.faces.cli.share_files import read_notices
    from holdfast.trace.link.incident import Incident
    from holdfast.trace.share.intake import places_of

    received = read_notices(path)
    nodes = [node for notice in received.notices for node in places_of(notice)]
    name = next((notice.name for notice in received.notices), path.stem)
    return Incident(name, addresses=tuple(dict.fromkeys(nodes)), vouched=vouched)


def text(found: Linking) -> str:
    """For people: each pair with its verdict, its links, what was taken out, and chance."""
    return "\n\n".join("\n".join(_lines(each)) for each in found.comparisons)


def _lines(pair: Comparison) -> list[str]:
    lines = [f"{pair.cases[0]} and {pair.cases[1]}: {pair.verdict}", f"  {pair.sentence}"]
    for each in pair.links:
        lines.append(f"  {each.id} class {each.evidence} ({each.confidence}): {each.why}")
        lines += [f"      else: {other}" for other in each.alternatives]
    lines += [f"  taken out: {each.address} ({each.removal}): {each.why}" for each in pair.removed]
    for name, overlap in (("before services were taken out", pair.naive), ("after", pair.overlap)):
        whole, parts = divmod(overlap.expected_thousandths, 1000)
        lines.append(
            f"  addresses that both paid {name}: {overlap.shared}; strangers would share {whole}.{parts:03d} "
            f"(as many in {overlap.as_many} of {overlap.shuffles} shuffles)"
        )
    lines += [f"  not tested: {each}" for each in pair.untested]
    return [*lines, f"  signed by {pair.signed_by}" if pair.signed_by else "  signed by nobody yet"]
