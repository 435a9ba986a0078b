"""Files of sharing: notices in whichever format, the operator's own addresses, tokens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.core.errors import BadInput
from holdfast.faces.cli.terminal import say

if TYPE_CHECKING:
    from holdfast.trace.link.incident import Node
    from holdfast.trace.share.notice import Notice
    from holdfast.trace.share.stix import Received


class OwnAddressMalformed(BadInput):
    """A line of the file of own addresses is no address. Write one a line, as NETWORK:ADDRESS."""

    code = "own-address-malformed"


class RevokedNotShared(BadInput):
    """What is to be taken back is no address that can be written. Write it as NETWORK:ADDRESS, as it was shared."""

    code = "revoked-not-shared"


def read_notices(path: Path) -> Received:
    """The notices in a STIX bundle or a MISP event. Raises `NoticeMalformed`."""
    from holdfast.trace.share import stix
    from holdfast.trace.share.notice import NoticeMalformed

    try:
        document = path.read_bytes()
    except OSError as error:
        raise NoticeMalformed(f"{path.name}: {error.strerror}") from None
    if b'"bundle"' in document or b"spec_version" in document:
        return stix.read(document)
    from holdfast.trace.share import misp

    return misp.read(document)


def own_addresses(path: Path | None) -> frozenset[Node]:
    """Addresses that never leave. Raises `OwnAddressMalformed`: a line that is not understood must not be skipped."""
    if path is None:
        say("holdfast: no --own file: an address of yours or of a customer whom the thief paid would leave.")
        return frozenset()
    lines = [line.split("#")[0].strip() for line in path.read_text("utf-8").splitlines()]
    return frozenset(node(line, OwnAddressMalformed) for line in lines if line)


def node(text: str, wrong: type[BadInput]) -> Node:
    """`NETWORK:ADDRESS` in canonical form; without a network, the one that its form points to. Raises `wrong`."""
    from holdfast.trace.sources.places import address_on, network_named, network_of_form

    prefix, _, address = text.rpartition(":")
    network = network_named(prefix) if prefix else network_of_form(address)
    found = address_on(network, address) if network else ""
    if not found:
        raise wrong(text[:120])
    return network, found


def revoking(notice: Notice, wanted: list[str]) -> Notice:
    """The notice with these addresses taken back; also those that a newer trace no longer has."""
    import msgspec

    from holdfast.trace.share.notice import Role, SharedAddress

    gone = {node(each, RevokedNotShared) for each in wanted}
    kept = [msgspec.structs.replace(each, revoked=(each.network, each.address) in gone) for each in notice.addresses]
    named = {(each.network, each.address) for each in kept}
    kept += [
        SharedAddress(network, address, Role.LAUNDERING, 0, revoked=True, valid_until=notice.modified_at + 1)
        for network, address in sorted(gone - named)
    ]
    return msgspec.structs.replace(notice, addresses=tuple(kept))
