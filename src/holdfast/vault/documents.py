"""Files that officers sign one after the other: orders, policies, approvals. The document, and the signatures so far.

What a document is follows from its bytes, and with it the domain tag: nobody can be made to sign an order as something
else. Certificates, which have a record and checks of their own, keep their own command.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import assert_never

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.core.errors import BadInput, Conflict, HoldfastError
from holdfast.core.intents import APPROVAL_TAG, Conversion, Intent, Payout, StandingOrder, read_intent
from holdfast.core.orders import ORDER_TAG, SignedOrder, read_order
from holdfast.core.quorum import Officer, Quorum, Signature, signers, tagged
from holdfast.policy.document import POLICY_TAG, read_policy
from holdfast.vault.carry import write_new
from holdfast.vault.orders import describe as describe_order


class DocumentUnknown(BadInput):
    """The file holds no order, policy or intent. Make it with `holdfast vault order`, and carry it over unchanged."""

    code = "document-unknown"


class DocumentsDiffer(Conflict):
    """The files do not hold the same document, so their signatures do not belong together. Sign one and the same."""

    code = "documents-differ"


class Paper(StrEnum):
    """What a document is."""

    ORDER = "order"
    POLICY = "policy"
    APPROVAL = "approval"


_READERS: dict[Paper, Callable[[bytes], object]] = {
    Paper.ORDER: read_order,
    Paper.APPROVAL: read_intent,
    Paper.POLICY: read_policy,
}


def paper_of(document: bytes) -> Paper:
    """What this document is: exactly one kind reads it. Raises `DocumentUnknown`, with each kind's complaint."""
    complaints = []
    for paper, read in _READERS.items():
        try:
            read(document)
        except HoldfastError as error:
            complaints.append(f"as {paper}: {error.code} {error.detail}"[:200])
        else:
            return paper
    raise DocumentUnknown("; ".join(complaints))


def tag_of(paper: Paper) -> bytes:
    """What parts signatures under this kind from all others."""
    match paper:
        case Paper.ORDER:
            return ORDER_TAG
        case Paper.POLICY:
            return POLICY_TAG
        case Paper.APPROVAL:
            return APPROVAL_TAG
        case _ as never:
            assert_never(never)


def sign(signed: SignedOrder, signing: bytes) -> SignedOrder:
    """The file with this officer's signature added; unchanged where it is there. Raises `DocumentUnknown`."""
    document = signed.document.encode()
    key = Ed25519PrivateKey.from_private_bytes(signing)
    officer = key.public_key().public_bytes_raw().hex()
    message = tagged(tag_of(paper_of(document)), document)
    others = tuple(one for one in signed.signatures if one.officer != officer)
    return SignedOrder(signed.document, (*others, Signature(officer, key.sign(message).hex())))


def combine(files: Sequence[SignedOrder]) -> SignedOrder:
    """One file with all signatures that are under the same document. Raises `DocumentsDiffer`."""
    if len({one.document for one in files}) != 1:
        raise DocumentsDiffer(f"{len(files)} files")
    found = {one.officer: one for file in files for one in file.signatures}
    return SignedOrder(files[0].document, tuple(found.values()))


def signed_by(signed: SignedOrder, quorum: Quorum) -> list[Officer]:
    """The officers of this quorum whose signatures are valid. Raises `DocumentUnknown`."""
    document = signed.document.encode()
    return signers(tag_of(paper_of(document)), document, signed.signatures, quorum)


def describe(document: bytes) -> list[str]:
    """Every line that an officer reads before he signs, and the digest last. Raises `DocumentUnknown`."""
    return [*_content(document), f"SHA-256 {hashlib.sha256(document).hexdigest()}"]


def read(path: Path) -> SignedOrder:
    """A file as `write` makes it, or a bare document that nobody has signed. Raises `DocumentUnknown`."""
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise DocumentUnknown(f"{path}: {error}") from None
    try:
        signed = msgspec.json.decode(text, type=SignedOrder)
    except msgspec.DecodeError:
        signed = SignedOrder(text, ())
    paper_of(signed.document.encode())
    return signed


def write(path: Path, signed: SignedOrder) -> None:
    """Write a new file. Raises `FileExists`."""
    write_new(path, msgspec.json.format(msgspec.json.encode(signed)) + b"\n")


def _content(document: bytes) -> list[str]:
    paper = paper_of(document)
    match paper:
        case Paper.ORDER:
            return describe_order(read_order(document))
        case Paper.POLICY:
            return document.decode().splitlines()
        case Paper.APPROVAL:
            return ["Approve what this merchant signed, and nothing else:", *_intent(read_intent(document))]
        case _ as never:
            assert_never(never)


def _intent(intent: Intent) -> list[str]:
    until = datetime.fromtimestamp(intent.expires_at, UTC)
    head = [
        f"merchant   {intent.merchant}",
        f"reference  {intent.reference}",
        f"until      {until:%Y-%m-%d %H:%M:%S} UTC",
    ]
    match intent:
        case Payout():
            paid = [f"pays       {line.units} units to {line.destination}" for line in intent.lines]
            return [*head, f"asset      {intent.asset}", *paid, f"fee        {intent.fee_units} units"]
        case StandingOrder():
            most = f"at most {intent.units} units every {intent.every_seconds} seconds to {intent.destination}"
            return [*head, f"asset      {intent.asset}", f"pays       {most}", f"fee        {intent.fee_units} units"]
        case Conversion():
            return [
                *head,
                f"gives      {intent.units} of {intent.asset}",
                f"takes      {intent.into_units} of {intent.into_asset}",
            ]
        case _ as never:
            assert_never(never)
