"""STIX 2.1 as this program writes it: two objects of others' extensions, a property extension of its own, TLP 2.0.

Wallets and transactions are the observables of DOGESEC's `stix2extensions`; they have neither a network nor exact
amounts, so both stand in an extension of our own: accounts as CAIP-10, units as strings. Ids are UUIDv5 as the standard
makes them (section 2.9), of the canonical address: another case of letters would be another id.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import stix2
from stix2 import properties
from stix2.canonicalization.Canonicalize import canonicalize

from holdfast.trace.share.notice import Tlp

OASIS_NAMESPACE = UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")
"""Of deterministic ids of observables (STIX 2.1, section 2.9)."""
NAMESPACE = UUID("6f9b1d3e-2f5c-5d0a-9d55-5f8f0a8f4a11")
"""Ours, for the ids of everything else: the same notice told again is a new version, not a new object."""
WALLET_EXTENSION = "extension-definition--be78509e-6958-51b1-8b26-d17ee0eba2d7"
TRANSACTION_EXTENSION = "extension-definition--151d042d-4dcf-5e44-843f-1024440318e5"
EXACT_EXTENSION = f"extension-definition--{uuid5(NAMESPACE, 'exact-amounts')}"
"""Our property extension: networks by CAIP-2, accounts by CAIP-10, amounts as strings of units."""
TLP2_EXTENSION = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"
"""OASIS's extension for TLP 2.0 markings."""
TLP2 = {
    Tlp.CLEAR: "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
    Tlp.GREEN: "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
    Tlp.AMBER: "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
    Tlp.AMBER_STRICT: "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
    Tlp.RED: "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
}
"""OASIS's marking objects for TLP 2.0: the ids are theirs, so that every reader knows them."""
_TLP1 = {
    stix2.TLP_WHITE.id: Tlp.CLEAR,
    stix2.TLP_GREEN.id: Tlp.GREEN,
    stix2.TLP_AMBER.id: Tlp.AMBER,
    stix2.TLP_RED.id: Tlp.RED,
}
_STRICTEST = (Tlp.RED, Tlp.AMBER_STRICT, Tlp.AMBER, Tlp.GREEN, Tlp.CLEAR)
_TLP2_CREATED = "2022-10-01T00:00:00.000Z"


Wallet: Any = stix2.v21.CustomObservable(
    "cryptocurrency-wallet",
    [
        ("value", properties.StringProperty(required=True)),
        ("holder_ref", properties.ReferenceProperty(valid_types="identity", spec_version="2.1")),
    ],
    ["value"],
)(type("Wallet", (), {}))
"""An address. Its holder is never filled in: that would be a person."""
Transaction: Any = stix2.v21.CustomObservable(
    "cryptocurrency-transaction",
    [
        ("symbol", properties.StringProperty(required=True)),
        ("value", properties.StringProperty(required=True)),
        ("fee", properties.FloatProperty()),
        ("execution_time", properties.TimestampProperty()),
        ("input", properties.ListProperty(properties.DictionaryProperty(spec_version="2.1"))),
        ("output", properties.ListProperty(properties.DictionaryProperty(spec_version="2.1"))),
    ],
    ["value"],
)(type("Transaction", (), {}))
"""A transaction by its hash."""


def id_of(kind: str, *parts: str) -> str:
    """The id of one of our objects: the same parts, the same id."""
    return f"{kind}--{uuid5(NAMESPACE, chr(0).join((kind, *parts)))}"


def moment(seconds: int) -> str:
    """A STIX timestamp."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def seconds(stamp: object) -> int:
    """A STIX timestamp, read; 0 where there is none."""
    if isinstance(stamp, datetime):
        return int(stamp.timestamp())
    if not isinstance(stamp, str):
        return 0
    try:
        return int(datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp())
    except ValueError:
        return 0


def marking(tlp: Tlp) -> Any:
    """OASIS's own marking object, to the letter."""
    return stix2.v21.MarkingDefinition(
        id=TLP2[tlp],
        created=_TLP2_CREATED,
        name=f"TLP:{tlp.upper()}",
        extensions={TLP2_EXTENSION: {"extension_type": "property-extension", "tlp_2_0": tlp.value}},
    )


def markings() -> dict[str, Tlp]:
    """By the id of a marking object, of TLP 2 and of TLP 1, what it means."""
    return {reference: tlp for tlp, reference in TLP2.items()} | _TLP1


def tlp_of(refs: object) -> Tlp:
    """The strictest of an object's markings, TLP 1 among them; without any, amber+strict."""
    names = markings()
    found = {names[one] for one in refs if one in names} if isinstance(refs, list) else set()
    return next((tlp for tlp in _STRICTEST if tlp in found), Tlp.AMBER_STRICT)


def extension_definition(author: str) -> Any:
    """What our property extension is, for readers that do not know it."""
    return stix2.v21.ExtensionDefinition(
        id=EXACT_EXTENSION,
        created_by_ref=author,
        created=_TLP2_CREATED,
        modified=_TLP2_CREATED,
        name="Exact amounts and networks of cryptocurrency observables",
        description="accounts: CAIP-10 ids. movements and units: amounts in the asset's smallest unit, as strings of "
        "decimal digits, by CAIP-19 asset id; JSON numbers lose digits beyond 2^53.",
        schema="The reference of the STIX mapping in Holdfast's documentation",
        version="1.0.0",
        extension_types=["property-extension"],
    )


def wallet_id(address: str) -> str:
    """The id of an address' wallet object, as every writer of STIX makes it."""
    named = canonicalize({"value": address}, utf8=False)
    return f"cryptocurrency-wallet--{uuid5(OASIS_NAMESPACE, named)}"
