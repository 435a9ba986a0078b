"""Notices as STIX 2.1 bundles, and back. The reference of the mapping is in the documentation.

Reading judges every object by itself: what is malformed is refused with its reason and the rest is kept. Nothing that
is read here is believed: addresses become claims that go through the admission of feeds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid5

import stix2
import stix2.exceptions

from holdfast.core.networks import KNOWN_NETWORKS, NetworkId
from holdfast.trace.share import stix_objects as objects
from holdfast.trace.share.notice import (
    Notice,
    NoticeMalformed,
    Role,
    SharedAddress,
    SharedSide,
    SharedTransaction,
)

BYTES_MOST = 64 * 2**20
OBJECTS_MOST = 200_000
_PATTERN = re.compile(r"\[\s*cryptocurrency-wallet:(?:value|address)\s*=\s*'((?:[^'\\]|\\.){1,200})'\s*\]")
_INDICATES = "related-to"


@dataclass(frozen=True, slots=True)
class Received:
    """What a document from others says."""

    notices: tuple[Notice, ...]
    refused: tuple[str, ...]
    """Objects that could not be read, each with its reason."""


def bundle(notice: Notice) -> bytes:
    """The notice as a bundle, in UTF-8 JSON: the same notice, the same bytes."""
    author = objects.id_of("identity", notice.by)
    shared = {
        "created_by_ref": author,
        "created": objects.moment(notice.created_at),
        "modified": objects.moment(notice.modified_at),
        "object_marking_refs": [objects.TLP2[notice.tlp]],
    }
    incident = stix2.v21.Incident(
        id=objects.id_of("incident", notice.by, notice.incident),
        name=notice.name,
        confidence=notice.confidence,
        external_references=[{"source_name": "holdfast-incident", "external_id": notice.incident}],
        extensions={objects.EXACT_EXTENSION: _exact({"started_at": objects.moment(notice.started_at)})},
        **shared,
    )
    wallets = _wallets(notice)
    found = [incident, *wallets.values()]
    for address in notice.addresses:
        found += _indicator(notice, address, wallets[address.address].id, shared)
    found += [_transaction(notice, each) for each in notice.transactions]
    group = stix2.v21.Grouping(
        id=objects.id_of("grouping", notice.by, notice.incident),
        name=notice.name,
        context="suspicious-activity",
        confidence=notice.confidence,
        object_refs=[each.id for each in found],
        **shared,
    )
    marking = objects.marking(notice.tlp)
    who = stix2.v21.Identity(
        id=author,
        name=notice.by,
        identity_class="organization",
        created=objects.moment(notice.created_at),
        modified=objects.moment(notice.created_at),
        object_marking_refs=[objects.TLP2[notice.tlp]],
    )
    everything = [marking, who, objects.extension_definition(author), *found, group]
    wrapped = {
        "type": "bundle",
        "id": f"bundle--{uuid5(objects.NAMESPACE, f'{notice.by} {notice.incident} {notice.modified_at}')}",
        "objects": [json.loads(each.serialize()) for each in everything],
    }
    return json.dumps(wrapped, ensure_ascii=False, separators=(",", ":")).encode()


def _exact(facts: Mapping[str, object]) -> dict[str, object]:
    return {"extension_type": "property-extension", **facts}


def _wallets(notice: Notice) -> dict[str, Any]:
    accounts: dict[str, list[dict[str, object]]] = {}
    for each in notice.addresses:
        told: dict[str, object] = {"account": each.account, "role": each.role.value}
        told["units"] = {asset: str(units) for asset, units in sorted(each.units.items())}
        for name, when in (("first_seen", each.first_seen), ("last_seen", each.last_seen)):
            if when:
                told[name] = objects.moment(when)
        if each.service:
            told["service"] = each.service
        accounts.setdefault(each.address, []).append(told)
    return {
        address: objects.Wallet(
            value=address,
            object_marking_refs=[objects.TLP2[notice.tlp]],
            extensions={
                objects.WALLET_EXTENSION: {"extension_type": "new-sco"},
                objects.EXACT_EXTENSION: _exact({"accounts": told}),
            },
        )
        for address, told in accounts.items()
    }


def _indicator(notice: Notice, address: SharedAddress, wallet: str, shared: Mapping[str, Any]) -> list[Any]:
    value = address.address.replace("\\", "\\\\").replace("'", "\\'")
    until = {"valid_until": objects.moment(address.valid_until)} if address.valid_until else {}
    indicator = stix2.v21.Indicator(
        id=objects.id_of("indicator", notice.by, notice.incident, address.account),
        name=f"{address.role.value} address on {address.network}",
        pattern=f"[cryptocurrency-wallet:value = '{value}']",
        pattern_type="stix",
        indicator_types=["malicious-activity"],
        valid_from=objects.moment(address.first_seen or notice.started_at),
        confidence=address.confidence,
        revoked=address.revoked,
        extensions={objects.EXACT_EXTENSION: _exact({"account": address.account})},
        **until,
        **shared,
    )
    return [
        indicator,
        *(
            stix2.v21.Relationship(
                id=objects.id_of("relationship", indicator.id, kind, target),
                relationship_type=kind,
                source_ref=indicator.id,
                target_ref=target,
                **shared,
            )
            for kind, target in (
                ("based-on", wallet),
                (_INDICATES, objects.id_of("incident", notice.by, notice.incident)),
            )
        ),
    ]


def _transaction(notice: Notice, moved: SharedTransaction) -> Any:
    def rough(sides: Iterable[SharedSide]) -> list[dict[str, str]]:
        return [{"address_ref": objects.wallet_id(side.address)} for side in sides if side.address]

    def exact(sides: Iterable[SharedSide]) -> list[dict[str, str]]:
        return [{"address": side.address, "asset": side.asset, "units": str(side.units)} for side in sides]

    sides = {name: rough(of) for name, of in (("input", moved.inputs), ("output", moved.outputs)) if rough(of)}
    return objects.Transaction(
        symbol=_symbol(moved),
        value=moved.transaction,
        execution_time=objects.moment(moved.time),
        object_marking_refs=[objects.TLP2[notice.tlp]],
        extensions={
            objects.TRANSACTION_EXTENSION: {"extension_type": "new-sco"},
            objects.EXACT_EXTENSION: _exact(
                {"network": moved.network, "inputs": exact(moved.inputs), "outputs": exact(moved.outputs)}
            ),
        },
        **sides,
    )


def _symbol(moved: SharedTransaction) -> str:
    """The coin of the network: the object has room for one symbol, and the exact assets stand in our extension."""
    network = KNOWN_NETWORKS.get(NetworkId(moved.network))
    return network.coin.symbol if network is not None else {"tron": "TRX"}.get(moved.network.split(":")[0], "UNKNOWN")


@dataclass(slots=True)
class _Reading:
    """Objects by type, as they came."""

    by_id: dict[str, Any] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def of(self, kind: str) -> list[Any]:
        return [each for each in self.by_id.values() if each["type"] == kind]


def read(document: bytes) -> Received:
    """Every notice in a bundle or TAXII envelope. Raises `NoticeMalformed` where it is neither."""
    if len(document) > BYTES_MOST:
        raise NoticeMalformed(f"{len(document)} bytes are more than {BYTES_MOST}")
    try:
        whole = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise NoticeMalformed(str(error)[:120]) from None
    rows = whole.get("objects", []) if isinstance(whole, dict) else None
    if not isinstance(rows, list) or len(rows) > OBJECTS_MOST:
        raise NoticeMalformed("neither a bundle nor an envelope, or with too many objects")
    return read_objects(rows)


def read_objects(rows: Iterable[object]) -> Received:
    """The same, of objects that were fetched one by one. An older version of an object gives way to a newer one."""
    reading = _Reading()
    for number, row in enumerate(rows, 1):
        _take(reading, row, number)
    incidents = {each["id"]: each for each in reading.of("incident")}
    belongs = {
        each["source_ref"]: each["target_ref"]
        for each in reading.of("relationship")
        if each["relationship_type"] == _INDICATES and each["target_ref"] in incidents
    }
    told: dict[str, list[SharedAddress]] = {}
    first: dict[str, Any] = {}
    for indicator in reading.of("indicator"):
        address = _address(indicator, reading)
        if address is not None:
            whose = belongs.get(indicator["id"], "")
            told.setdefault(whose, []).append(address)
            first.setdefault(whose, indicator)
    notices = tuple(
        _notice(incidents.get(whose), first[whose], addresses, reading) for whose, addresses in sorted(told.items())
    )
    return Received(notices, tuple(reading.refused))


def _take(reading: _Reading, row: object, number: int) -> None:
    if not isinstance(row, dict):
        reading.refused.append(f"object {number}: not an object")
        return
    try:
        parsed = stix2.parse(row, allow_custom=True, version="2.1")
    except (stix2.exceptions.STIXError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reading.refused.append(f"object {number} ({str(row.get('type', '?'))[:40]}): {str(error)[:200]}")
        return
    if not isinstance(parsed, stix2.base._STIXBase) or "id" not in parsed:
        return
    before = reading.by_id.get(parsed["id"])
    if before is None or objects.seconds(before.get("modified")) <= objects.seconds(parsed.get("modified")):
        reading.by_id[parsed["id"]] = parsed


def _text(value: object, most: int = 200) -> str:
    return value[:most] if isinstance(value, str) else ""


def _extension(parsed: Any) -> Mapping[str, Any]:
    found = (parsed.get("extensions") or {}).get(objects.EXACT_EXTENSION, {})
    return found if isinstance(found, Mapping) else {}


def _address(indicator: Any, reading: _Reading) -> SharedAddress | None:
    match = _PATTERN.fullmatch(indicator["pattern"].strip())
    if match is None:
        if "cryptocurrency-wallet" in indicator["pattern"]:
            reading.refused.append(f"{indicator['id']}: a pattern of more than one address is not read")
        return None
    value = re.sub(r"\\(.)", r"\1", match[1])
    account = _text(_extension(indicator).get("account"))
    network = account.removesuffix(f":{value}") if account.endswith(f":{value}") else ""
    wallet = reading.by_id.get(objects.wallet_id(value))
    told = _told(wallet, account)
    return SharedAddress(
        network=network,
        address=value,
        role=_role(told.get("role")),
        confidence=indicator.get("confidence", _UNSAID),
        first_seen=objects.seconds(told.get("first_seen")) or objects.seconds(indicator["valid_from"]),
        last_seen=objects.seconds(told.get("last_seen")),
        units=_units(told.get("units")),
        service=_text(told.get("service")),
        valid_until=objects.seconds(indicator.get("valid_until")),
        revoked=bool(indicator.get("revoked", False)),
    )


_UNSAID = 30
"""Confidence of an indicator that states none: `low` on the scale of STIX's appendix A (15 to 30)."""
_DIGITS = re.compile(r"[0-9]{1,78}", re.ASCII)


def _told(wallet: Any, account: str) -> Mapping[str, Any]:
    accounts = _extension(wallet).get("accounts", []) if wallet is not None else []
    found = [each for each in accounts if isinstance(each, Mapping) and each.get("account") == account]
    return found[0] if found else {}


def _role(value: object) -> Role:
    return Role(value) if value in {role.value for role in Role} else Role.LAUNDERING


def _units(value: object) -> dict[str, int]:
    if not isinstance(value, Mapping):
        return {}
    return {
        _text(asset): int(units)
        for asset, units in value.items()
        if isinstance(units, str) and _DIGITS.fullmatch(units) and isinstance(asset, str)
    }


def _notice(incident: Any, first: Any, addresses: list[SharedAddress], reading: _Reading) -> Notice:
    subject = incident if incident is not None else first
    author = reading.by_id.get(subject.get("created_by_ref", ""), {})
    external = [each.get("external_id", "") for each in subject.get("external_references", [])]
    created, modified = objects.seconds(subject["created"]), objects.seconds(subject["modified"])
    return Notice(
        incident=_text(next(iter(external), "")) or subject["id"],
        name=_text(subject.get("name")),
        by=_text(author.get("name")) or _text(subject.get("created_by_ref")),
        started_at=objects.seconds(_extension(subject).get("started_at")) or created,
        created_at=created,
        modified_at=modified,
        tlp=objects.tlp_of(list(subject.get("object_marking_refs", []))),
        confidence=subject.get("confidence", _UNSAID),
        addresses=tuple(addresses),
        transactions=tuple(_transactions(reading, incident["id"])) if incident is not None else (),
    )


def _transactions(reading: _Reading, incident: str) -> Iterable[SharedTransaction]:
    """Those that a grouping puts together with the incident."""
    groups = [each["object_refs"] for each in reading.of("grouping") if incident in each["object_refs"]]
    with_it = {reference for references in groups for reference in references}
    for each in reading.of("cryptocurrency-transaction"):
        if each["id"] not in with_it:
            continue
        exact = _extension(each)
        yield SharedTransaction(
            network=_text(exact.get("network")),
            transaction=_text(each["value"]),
            time=objects.seconds(each.get("execution_time")),
            inputs=_sides(exact.get("inputs")),
            outputs=_sides(exact.get("outputs")),
        )


def _sides(value: object) -> tuple[SharedSide, ...]:
    rows = value if isinstance(value, list) else []
    return tuple(
        SharedSide(_text(each.get("address")), _text(each.get("asset")), int(each["units"]))
        for each in rows
        if isinstance(each, Mapping) and isinstance(each.get("units"), str) and _DIGITS.fullmatch(each["units"])
    )
