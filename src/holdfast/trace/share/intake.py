"""What others told becomes a feed of labels, and is doubted like every feed: admission comes before it counts. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from holdfast.core.networks import known_network
from holdfast.trace.labels.addresses import ANY_EVM, TRON, key_of
from holdfast.trace.labels.admission import formed
from holdfast.trace.labels.book import holds
from holdfast.trace.labels.claims import UNPROVEN, Claim, Feed
from holdfast.trace.model import Label, LabelKind
from holdfast.trace.share.notice import Notice, Role, SharedAddress

_KINDS: Mapping[Role, LabelKind] = {
    Role.THIEF: LabelKind.THEFT,
    Role.LAUNDERING: LabelKind.THEFT,
    Role.DEPOSIT: LabelKind.DEPOSIT,
}
_EVM_LENGTH = 42


def family(notice: Notice, peer: str) -> str:
    """What the feed of one peer's telling of one incident is called, from one version to the next."""
    return f"{peer}: {notice.by}: {notice.incident}"


def feed(notice: Notice, peer: str, at: int, before: Feed | None = None, ceiling: int = UNPROVEN) -> Feed:
    """The notice as a feed of a peer. What it takes back is left out; what `before` said and it does not name stays.

    `ceiling`: the most that this peer is believed, whatever the notice says; above `UNPROVEN` a person vouches for him.
    """
    name = family(notice, peer)
    taken_back = {_key(each) for each in notice.addresses if each.revoked}
    claims = [_claim(each, notice) for each in notice.addresses if not each.revoked]
    found = formed(claims, name, at, ceiling)
    labels = {(key_of(each.network, each.address), each.kind): each for each in _still(before, at)}
    labels |= {(key_of(each.network, each.address), each.kind): each for each in found.admitted}
    kept = tuple(label for (key, _), label in labels.items() if key not in taken_back)
    digest = hashlib.sha256(msgspec.json.encode((notice, kept))).hexdigest()
    return Feed(name, name, at, digest, ceiling > UNPROVEN, kept, found.refused)


def _still(before: Feed | None, at: int) -> tuple[Label, ...]:
    return tuple(label for label in before.labels if holds(label, at)) if before is not None else ()


def _key(address: SharedAddress) -> tuple[str, str]:
    return key_of(network_of(address), address.address)


def _claim(address: SharedAddress, notice: Notice) -> Claim:
    return Claim(
        network=network_of(address),
        address=address.address,
        name=address.service or notice.name or notice.incident,
        kind=_KINDS[address.role],
        confidence=address.confidence,
        stated_at=notice.modified_at,
        valid_from=address.first_seen,
        valid_until=address.valid_until,
        source=notice.by,
    )


def places_of(notice: Notice) -> tuple[tuple[str, str], ...]:
    """Network and canonical address of what the thief is said to have held; deposit addresses are a service's."""
    held = [each for each in notice.addresses if each.role is not Role.DEPOSIT and not each.revoked]
    claims = [_claim(each, notice) for each in held]
    return tuple((label.network, label.address) for label in formed(claims, notice.by, notice.modified_at).admitted)


def network_of(address: SharedAddress) -> str:
    """The network that was said, or what the address' form leaves open; its checksum is tried afterwards."""
    text = address.address
    if address.network:
        return address.network
    if text.startswith("0x") and len(text) == _EVM_LENGTH:
        return ANY_EVM
    if text.startswith("T"):
        return TRON
    for name in ("litecoin", "dogecoin"):
        if text.startswith({"litecoin": ("ltc1", "L", "M"), "dogecoin": ("D",)}[name]):
            return known_network(name).id
    return known_network("bitcoin").id if text.startswith(("bc1", "1", "3")) else ""
