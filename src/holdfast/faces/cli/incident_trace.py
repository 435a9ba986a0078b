"""`holdfast incident trace`: what an incident's strangers took is followed, from the incident process' own nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.core.errors import NotFound
from holdfast.faces.cli.incident import CONFIG, ConfigFile, IdArgument, affected_by, one_of, opened
from holdfast.faces.cli.terminal import Advance, JsonOption, emit, progress
from holdfast.faces.cli.trace import Labels, Vouched

if TYPE_CHECKING:
    from holdfast.faces.cli.trace_case import Found
    from holdfast.incident.affected import TransactionShown
    from holdfast.incident.settings import IncidentSettings
    from holdfast.trace.case import Case


class NothingStolen(NotFound):
    """The evidence shows no transaction that nobody ordered. Seal evidence first, or name it with `holdfast trace`."""

    code = "nothing-stolen"


def trace(  # noqa: PLR0913  one option of the command line each
    incident_id: IdArgument = "",
    *,
    labels: Labels = None,
    vouched: Vouched = None,
    by: Annotated[str, typer.Option("--by", help="Who asks for it: it is written into the timeline.")] = "holdfast",
    config: ConfigFile = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Follow what was stolen, from every transaction of the evidence that nobody ordered.

    The case lies in the incident's own folder, and grows when this is called again. The nodes are those of the incident
    process: the first is read, and where there are two they are compared.

    Example: `holdfast incident trace --labels ofac.xml.bz2`
    """
    from holdfast.faces.cli.trace_text import document, text
    from holdfast.incident.record import Noted, Touched

    settings, store = opened(config)
    incident = store.read(one_of(store, incident_id))
    affected = affected_by(store, incident)
    stolen = [one for one in affected.transactions if not one.is_journaled] if affected is not None else []
    if not stolen:
        raise NothingStolen(incident.id)
    folder = store.path(incident.id) / "trace"
    with progress("incident trace") as advance:
        found = followed_from(settings, stolen, folder, (labels or (), vouched or ()), advance)
    digest = sha256((folder / "trace.json").read_bytes()).hexdigest()
    told = f"traced {len(found.trace.steps)} steps to {len(found.trace.ends)} ends; trace.json has SHA-256 {digest}"
    store.append(incident.id, Noted(by, told, tuple({Touched(one.network, one.transaction): 0 for one in stolen})))
    emit(document(found) if as_json else None, None if as_json else text(found), as_json=as_json)


def followed_from(
    settings: IncidentSettings, stolen: Sequence[TransactionShown], folder: Path,
    labels: tuple[Sequence[Path], Sequence[Path]], advance: Advance,
) -> Found:  # fmt: skip
    """A case of these transactions, made or gone on with, and its trace. Raises what sources and following raise.

    `labels`: files that are doubted where it matters, and files that somebody vouches for.
    """
    import msgspec

    from holdfast.faces.cli.trace_case import followed, labelled
    from holdfast.faces.cli.trace_sources import now
    from holdfast.trace.case import Case, CaseDocument, Theft

    case = Case(folder) if Case.exists(folder) else Case.create(folder, CaseDocument(folder.parent.name, now()))
    asyncio.run(_pulled(case, settings, stolen, advance))
    labelled(case, *labels)
    thefts = dict.fromkeys((*case.document.thefts, *(Theft(one.network, one.transaction) for one in stolen)))
    case.save(msgspec.structs.replace(case.document, thefts=tuple(thefts)))
    advance("following", 0, 0)
    return followed(case, str(folder))


async def _pulled(case: Case, settings: IncidentSettings, stolen: Sequence[TransactionShown], advance: Advance) -> None:
    """Everything on these networks since the first of the thefts."""
    from holdfast.chains.own_nodes import accesses
    from holdfast.core.networks import network_by_id
    from holdfast.faces.cli.trace_sources import now, of_nodes
    from holdfast.trace.sources.beside import Beside
    from holdfast.trace.sources.port import Wanted
    from holdfast.trace.sources.pull import Progress, pull

    def tell(at: Progress) -> None:
        advance(f"{at.source}: {at.transfers} transfers", at.done, at.total)

    with case.store() as store:
        for name in dict.fromkeys(one.network for one in stolen):
            network, ours = network_by_id(name), [one for one in stolen if one.network == name]
            source = of_nodes(
                network, accesses(network, settings.networks[name].nodes), Beside(case.evidence(), store, now)
            )
            try:
                # What waited for a block when the evidence was taken may have one by now.
                waiting = frozenset(one.transaction for one in ours if one.height is None)
                if waiting:
                    await pull(source, Wanted(name, transactions=waiting), store, tell)
                heights = [one.height for one in ours if one.height is not None]
                heights += [row.height for row in store.of_transactions(name, waiting)]
                if heights:
                    await pull(source, Wanted(name, height_from=min(heights)), store, tell)
            finally:
                await source.close()
