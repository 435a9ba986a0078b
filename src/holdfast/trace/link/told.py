"""Links as a case's report prints them: one entry for each other incident.."""

from __future__ import annotations

from pathlib import Path

import msgspec

from holdfast.core.errors import BadInput
from holdfast.trace.link.words import Comparison, Linking
from holdfast.trace.report.material import Link


class LinksUnreadable(BadInput):
    """The file of links is not as it was written. Run `holdfast trace link` again."""

    code = "links-unreadable"


def read_links(path: Path) -> Linking | None:
    """A case's `links.json`; None: nothing was compared yet. Raises `LinksUnreadable`."""
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Linking)
    except msgspec.DecodeError as error:
        raise LinksUnreadable(f"{path.name}: {error}") from None


def for_report(linking: Linking, case: str) -> tuple[Link, ...]:
    """What the report of this case says of the others."""
    return tuple(_entry(pair, case) for pair in linking.comparisons if case in pair.cases)


def _entry(pair: Comparison, case: str) -> Link:
    whole, parts = divmod(pair.overlap.expected_thousandths, 1000)
    signed = f"signed by {pair.signed_by}" if pair.signed_by else "signed by nobody"
    return Link(
        incident=pair.cases[1] if pair.cases[0] == case else pair.cases[0],
        verdict=pair.verdict,
        classes=tuple(dict.fromkeys(str(link.evidence) for link in pair.links)),
        facts=(
            pair.sentence,
            *(f"{link.id}, class {link.evidence}, confidence {link.confidence}: {link.why}" for link in pair.links),
            *(f"taken out: {each.address} ({each.removal}): {each.why}" for each in pair.removed),
            *(f"not tested: {each}" for each in pair.untested),
            signed,
        ),
        alternatives=tuple(dict.fromkeys(each for link in pair.links for each in link.alternatives)),
        expected=f"{pair.overlap.shared} addresses paid by both, services left out; {whole}.{parts:03d} by chance "
        f"({pair.overlap.as_many} of {pair.overlap.shuffles} shuffles have as many); {pair.naive.shared} with services",
    )
