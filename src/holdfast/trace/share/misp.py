"""Notices as MISP events, and back: MISP's own objects for what has a field there, exact figures as text beside it.

`coin-address` has one typed field for Bitcoin and one of text for all others; `cryptocurrency-transaction` types its
address as Bitcoin's, so addresses of other networks stand in the text. Amounts in its fields are floats and stay empty.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid5

import msgspec
from pymisp import MISPEvent, MISPObject
from pymisp.exceptions import PyMISPError

from holdfast.core.networks import KNOWN_NETWORKS, NetworkId
from holdfast.trace.share.notice import Notice, NoticeMalformed, Role, SharedAddress, SharedTransaction, Tlp
from holdfast.trace.share.stix import Received
from holdfast.trace.share.stix_objects import NAMESPACE, moment, seconds

BYTES_MOST = 64 * 2**20
_BITCOIN = "bip122:000000000019d6689c085ae165831e93"
_NOTICE = "holdfast notice"
_NO_TLP2 = {"tlp:white": Tlp.CLEAR}
_OWN_ORGANISATION, _COMMUNITY, _CONNECTED, _ALL = 0, 1, 2, 3
_DISTRIBUTION = {
    Tlp.RED: _OWN_ORGANISATION,
    Tlp.AMBER_STRICT: _OWN_ORGANISATION,
    Tlp.AMBER: _COMMUNITY,
    Tlp.GREEN: _CONNECTED,
    Tlp.CLEAR: _ALL,
}
"""How far MISP passes an event on by itself."""


class _Facts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an event has no field for."""

    incident: str
    by: str
    started_at: int
    created_at: int
    modified_at: int
    confidence: int


def event(notice: Notice) -> bytes:
    """The notice as an event, in UTF-8 JSON. It is not published: who imports it decides that."""
    made = MISPEvent()
    made.uuid = str(uuid5(NAMESPACE, f"misp {notice.by} {notice.incident}"))
    made.info = notice.name
    made.set_date(moment(notice.started_at)[:10])
    made.timestamp = datetime.fromtimestamp(notice.modified_at, UTC)
    made.distribution = _DISTRIBUTION[notice.tlp]
    made.analysis, made.threat_level_id = 1, 2
    made.add_tag(f"tlp:{notice.tlp}")
    facts = _Facts(
        notice.incident, notice.by, notice.started_at, notice.created_at, notice.modified_at, notice.confidence
    )
    made.add_attribute(
        "text", msgspec.json.encode(facts).decode(), comment=_NOTICE, category="Internal reference", to_ids=False,
        uuid=str(uuid5(NAMESPACE, f"misp facts {notice.by} {notice.incident}")),
    )  # fmt: skip
    for address in notice.addresses:
        made.add_object(_address(notice, address))
    for transaction in notice.transactions:
        made.add_object(_transaction(notice, transaction))
    return bytes(made.to_json().encode())


def _address(notice: Notice, address: SharedAddress) -> MISPObject:
    found = MISPObject("coin-address", standalone=False)
    found.uuid = str(uuid5(NAMESPACE, f"misp {notice.by} {notice.incident} {address.account}"))
    relation = "address" if address.network == _BITCOIN else "address-crypto"
    found.add_attribute(relation, address.address, to_ids=not address.revoked and address.role is not Role.DEPOSIT)
    network = KNOWN_NETWORKS.get(NetworkId(address.network))
    if network is not None:
        found.add_attribute("symbol", network.coin.symbol)
    for name, when in (("first-seen", address.first_seen), ("last-seen", address.last_seen)):
        if when:
            found.add_attribute(name, moment(when))
    found.add_attribute("text", msgspec.json.encode(address).decode())
    return found


def _transaction(notice: Notice, moved: SharedTransaction) -> MISPObject:
    found = MISPObject("cryptocurrency-transaction", standalone=False)
    found.uuid = str(uuid5(NAMESPACE, f"misp {notice.by} {notice.incident} {moved.network} {moved.transaction}"))
    found.add_attribute("transaction-number", moved.transaction)
    found.add_attribute("time", moment(moved.time))
    network = KNOWN_NETWORKS.get(NetworkId(moved.network))
    if network is not None:
        found.add_attribute("symbol", network.coin.symbol)
    found.comment = msgspec.json.encode(moved).decode()
    return found


def read(document: bytes) -> Received:
    """The notice in a MISP event, also one of others. Raises `NoticeMalformed` where it is no event."""
    if len(document) > BYTES_MOST:
        raise NoticeMalformed(f"{len(document)} bytes are more than {BYTES_MOST}")
    made = MISPEvent()
    try:
        made.from_json(document.decode())
    except (PyMISPError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NoticeMalformed(str(error)[:200]) from None
    refused: list[str] = []
    facts = _facts(made, refused)
    addresses, transactions = [], []
    for each in made.objects:
        if each.name == "coin-address":
            addresses += _read_address(each, refused)
        elif each.name == "cryptocurrency-transaction":
            transactions += _read_transaction(each, refused)
    return Received(
        (
            Notice(
                facts.incident, str(made.info)[:200], facts.by, facts.started_at, facts.created_at, facts.modified_at,
                _tlp(made), facts.confidence, tuple(addresses), tuple(transactions),
            ),
        ),
        tuple(refused),
    )  # fmt: skip


def _facts(made: MISPEvent, refused: list[str]) -> _Facts:
    for attribute in made.attributes:
        if getattr(attribute, "comment", "") == _NOTICE:
            try:
                return msgspec.json.decode(str(attribute.value), type=_Facts)
            except msgspec.DecodeError as error:
                refused.append(f"{_NOTICE}: {error}")
    stamp = getattr(made, "timestamp", None)
    at = int(stamp.timestamp()) if isinstance(stamp, datetime) else 0
    organisation = getattr(getattr(made, "Orgc", None), "name", "") or "a MISP community"
    return _Facts(str(made.uuid), str(organisation)[:200], at, at, at, _UNSAID)


_UNSAID = 30
"""As for STIX: low."""


def _tlp(made: MISPEvent) -> Tlp:
    names = {f"tlp:{tlp}": tlp for tlp in Tlp} | _NO_TLP2
    found = [names[tag.name] for tag in made.tags if tag.name in names]
    return max(found, key=list(Tlp).index, default=Tlp.AMBER_STRICT)


def _values(found: MISPObject) -> dict[str, Any]:
    return {str(each.object_relation): each.value for each in found.attributes}


def _read_address(found: MISPObject, refused: list[str]) -> list[SharedAddress]:
    values = _values(found)
    address = next((str(values[name]) for name in ("address", "address-crypto", "address-xmr") if name in values), "")
    try:
        told = msgspec.json.decode(str(values.get("text", "")), type=SharedAddress)
    except msgspec.DecodeError:
        told = None
    if told is not None and told.address == address:
        return [told]
    if not address:
        refused.append(f"coin-address {found.uuid}: no address")
        return []
    network = _BITCOIN if "address" in values else ""
    return [
        SharedAddress(network, address[:200], Role.LAUNDERING, _UNSAID, first_seen=seconds(values.get("first-seen")))
    ]


def _read_transaction(found: MISPObject, refused: list[str]) -> list[SharedTransaction]:
    values = _values(found)
    try:
        told = msgspec.json.decode(str(getattr(found, "comment", "")), type=SharedTransaction)
    except msgspec.DecodeError:
        told = None
    if told is not None and told.transaction == values.get("transaction-number"):
        return [told]
    if "transaction-number" not in values:
        refused.append(f"cryptocurrency-transaction {found.uuid}: no transaction")
        return []
    return [SharedTransaction("", str(values["transaction-number"])[:200], seconds(values.get("time")))]
