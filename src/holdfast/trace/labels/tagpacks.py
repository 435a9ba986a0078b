"""GraphSense TagPacks and actor packs (YAML): attribution tags whose header is every tag's default.

Format: https://github.com/graphsense/graphsense-tagpack-tool (schema: tag fields in the header are inherited by tags).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import yaml

from holdfast.core.errors import BadInput
from holdfast.trace.labels.claims import UNPROVEN, Claim
from holdfast.trace.labels.kinds import actor_in, kind_of_name, kind_of_words
from holdfast.trace.model import LabelKind

CONFIDENCE = {
    "override": 95, "ledger_immanent": 95, "ownership": 95, "authority_data": 90, "service_data": 80,
    "manual_transaction": 80, "service_api": 70, "trusted_provider": 70, "forensic": 60, "untrusted_transaction": 40,
    "web_crawl": 30, "heuristic": 25,
}  # fmt: skip
"""How sure each of GraphSense's words is taken to be, 0 to 100: proof, then the owner's or a state's own word, then
work that can be repeated, then what strangers wrote down."""
_UNSAID = 30
"""A tag that says nothing of its confidence is believed as what was found on the web."""


class FeedMalformed(BadInput):
    """The file is not in the form that its name or its beginning promises. Compare it with the formats on the page."""

    code = "label-feed-malformed"


@dataclass(frozen=True, slots=True)
class Actors:
    """Who is behind names, and what they do."""

    names: Mapping[str, str] = field(default_factory=dict)
    """By id."""
    kinds: Mapping[str, LabelKind] = field(default_factory=dict)
    """By id, and by the name in small letters."""


def loaded(text: bytes) -> dict[str, Any]:
    """A YAML document that is a mapping, without any type beyond the plain ones. Raises `FeedMalformed`."""
    try:
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  both are the safe ones
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as wrong:
        raise FeedMalformed(str(wrong)[:200]) from wrong
    if not isinstance(document, dict):
        raise FeedMalformed("a TagPack is a mapping with a list of tags")
    return document


def actors_of(document: Mapping[str, Any]) -> Actors:
    """The actors of an actor pack. Raises `FeedMalformed`."""
    listed = document.get("actors")
    if not isinstance(listed, list):
        raise FeedMalformed("an actor pack has a list of actors")
    names: dict[str, str] = {}
    kinds: dict[str, LabelKind] = {}
    for actor in listed:
        if not isinstance(actor, dict) or "id" not in actor:
            continue
        known = str(actor["id"])
        names[known] = str(actor.get("label") or known)
        kind = kind_of_words(str(each) for each in actor.get("categories") or ())
        if kind not in (None, LabelKind.OTHER):
            kinds[known] = kind
            kinds.setdefault(names[known].casefold(), kind)
    return Actors(names, kinds)


def claims_of(document: Mapping[str, Any], actors: Actors | None = None) -> Iterator[Claim | str]:
    """Each tag with what it inherits from the header; a text where a tag cannot be read, with what is wrong.

    Raises `FeedMalformed`.
    """
    tags = document.get("tags")
    if not isinstance(tags, list):
        raise FeedMalformed("a TagPack has a list of tags")
    header = {key: value for key, value in document.items() if key != "tags"}
    for number, tag in enumerate(tags, 1):
        if not isinstance(tag, dict):
            yield f"tag {number} is not a mapping"
            continue
        yield _claim({**header, **tag}, number, actors or Actors())


def _claim(tag: Mapping[str, Any], number: int, actors: Actors) -> Claim | str:
    network = tag.get("network") or tag.get("currency")
    if not network or not tag.get("address"):
        return f"tag {number} names no address or no currency"
    actor = str(tag.get("actor") or "")
    label = str(tag.get("label") or "")
    return Claim(
        network=str(network),
        address=str(tag["address"]),
        name=label or actors.names.get(actor, actor) or str(tag.get("title") or ""),
        kind=_kind(tag, label, actor, actors),
        confidence=CONFIDENCE.get(str(tag.get("confidence")), _UNSAID if tag.get("confidence") is None else UNPROVEN),
        stated_at=moment(tag.get("lastmod")),
        source=str(tag.get("source") or ""),
    )


def _kind(tag: Mapping[str, Any], label: str, actor: str, actors: Actors) -> LabelKind:
    """Said outright (abuse), by the address's own name, by category or concept, by what its actor does."""
    abuse = kind_of_words([str(tag["abuse"])]) if tag.get("abuse") else None
    if abuse is not None:
        return abuse
    if tag.get("abuse"):
        return LabelKind.CRIME
    said = [str(tag[word]) for word in ("category",) if tag.get(word)]
    said += [str(each) for each in tag.get("concepts") or ()]
    meant = kind_of_words(said)
    if meant in (None, LabelKind.EXCHANGE, LabelKind.GAMBLING, LabelKind.MIXER):
        named = kind_of_name(label)
        if named is not None and (meant is None or named in (LabelKind.CONTRACT, LabelKind.OTHER)):
            return named
    for known in (actor, actor_in(label)):
        if meant in (None, LabelKind.OTHER, LabelKind.CUSTODY) and known in actors.kinds:
            return actors.kinds[known]
    return meant or LabelKind.OTHER


def moment(value: object) -> int:
    """Seconds since 1970 of a date as YAML or a person wrote it; 0 where it cannot be told."""
    if isinstance(value, datetime):
        return int((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp())
    if isinstance(value, date):
        return int(datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp())
    if isinstance(value, int) and not isinstance(value, bool):
        return max(value, 0)
    if isinstance(value, str):
        try:
            return moment(datetime.fromisoformat(value.strip().replace("Z", "+00:00")))
        except ValueError:
            return int(value) if value.isascii() and value.isdigit() else 0
    return 0
