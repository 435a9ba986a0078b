"""Two victims learn how many addresses their thefts share, and which only if both agree. Pure: messages in and out.

Private set intersection after Meadows (1986) and Huberman, Franklin and Hogg (1999), by the kept library openmined-psi:
each address is raised to a secret power on an elliptic curve by both, in either order. The first pass is made with
`reveal_intersection=False`: the answer comes back sorted, so that the asker can count matches and not name them.

Salted hashes would hide nothing: every address ever used is public, and whoever holds the salt hashes them all.
What it does not stop, by the library's own account: a party who lies about its set. So sets are capped, committed to
before anything is asked, asked about once, and both sides keep everything; after a dispute either can open its set to
an auditor, who makes the same bytes again.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.core.errors import BadInput, Conflict
from holdfast.core.quorum import is_signed, tagged
from holdfast.trace.share import intersection

TAG = b"holdfast-roundtable-v1"
ELEMENTS_MOST = 10_000
"""Of one set: five seconds of one core, and too few to ask about every address that there is."""


class RoundtableMalformed(BadInput):
    """The message is not one of this round, or its signature does not fit. Ask the other side for the very file."""

    code = "roundtable-malformed"


class RoundtableStranger(BadInput):
    """The other side signed with another key than was agreed on. Compare fingerprints by voice before you go on."""

    code = "roundtable-stranger"


class AskedAlready(Conflict):
    """This incident was asked about before, and each is answered once. Two answers tell more than two counts."""

    code = "asked-already"


class SetNotAsCommitted(BadInput):
    """The set that was used is not the one that was committed to. Stop the round and ask the other side why."""

    code = "set-not-as-committed"


class Kind(StrEnum):
    """Messages, in the order of a round."""

    OFFER = "offer"
    QUESTION = "question"
    ANSWER = "answer"
    COUNT = "count"
    AGREED = "agreed"
    """To be told which; by a person, never by the program."""
    OPEN_QUESTION = "open-question"
    OPEN_ANSWER = "open-answer"
    OPENED = "opened"


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one party tells the other. These fields are all that ever leaves."""

    kind: Kind
    key: str
    """Of who tells: Ed25519 public key, hex."""
    at: int
    round: str = ""
    """SHA-256 over both offers; empty in an offer."""
    by: str = ""
    """The organisation, in its offer."""
    incident: str = ""
    """Its id for those who share, in its offer."""
    size: int = 0
    commitment: str = ""
    """SHA-256 over the salted elements: binds the set, shows nothing of it."""
    data: tuple[str, ...] = ()
    """Messages of the intersection protocol, base64."""
    count: int = -1
    hits: tuple[str, ...] = ()
    """Shared elements, once both agreed."""
    salts: tuple[str, ...] = ()
    """Of each hit: shows that it was in the committed set."""
    leaves: tuple[str, ...] = ()
    """All salted elements of the commitment, in order."""


class Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message as it goes from hand to hand."""

    document: str
    signature: str


@dataclass(frozen=True, slots=True)
class Party:
    """One side, with its secrets: these never leave."""

    by: str
    incident: str
    key: Ed25519PrivateKey
    secret: bytes
    """32 bytes: salts and protocol keys come from it, so that an auditor can make every message again."""
    elements: tuple[str, ...]

    @property
    def public(self) -> str:
        """Its Ed25519 public key, hex."""
        return self.key.public_key().public_bytes_raw().hex()


@dataclass(frozen=True, slots=True)
class Round:
    """Everything that was said so far, checked."""

    mine: tuple[Message, ...]
    theirs: tuple[Message, ...]

    def said(self, kind: Kind) -> Message | None:
        """What this side said of a kind."""
        return next((each for each in self.mine if each.kind is kind), None)

    def heard(self, kind: Kind) -> Message | None:
        """What the other side said of a kind."""
        return next((each for each in self.theirs if each.kind is kind), None)


def fingerprint(key: str) -> str:
    """Of a public key, to be read out over the telephone."""
    digest = hashlib.sha256(bytes.fromhex(key)).hexdigest()[:32]
    return " ".join(digest[at : at + 4] for at in range(0, 32, 4))


def sign(party: Party, message: Message) -> Signed:
    """The message under the party's key."""
    document = msgspec.json.encode(message)
    return Signed(document.decode(), party.key.sign(tagged(TAG, document)).hex())


def verify(signed: Signed, key: str = "") -> Message:
    """What a message says. Raises `RoundtableMalformed`, and `RoundtableStranger` where another key was agreed on."""
    try:
        message = msgspec.json.decode(signed.document, type=Message)
    except msgspec.DecodeError as error:
        raise RoundtableMalformed(str(error)[:200]) from None
    if key and message.key != key:
        raise RoundtableStranger(fingerprint(message.key) if len(message.key) == 64 else "no key")
    if not is_signed(message.key, signed.signature, tagged(TAG, signed.document.encode())):
        raise RoundtableMalformed("signature")
    return message


def offer(party: Party, at: int) -> Message:
    """What opens a round: how many elements, and a commitment to them. Raises `RoundtableMalformed` for no set."""
    if not 0 < len(party.elements) <= ELEMENTS_MOST or len(set(party.elements)) != len(party.elements):
        raise RoundtableMalformed(f"a set of {len(party.elements)} elements; 1 to {ELEMENTS_MOST} different ones")
    return Message(
        Kind.OFFER, party.public, at, by=party.by, incident=party.incident, size=len(party.elements),
        commitment=_commitment(_leaves(party)),
    )  # fmt: skip


def agreed(party: Party, so_far: Round, at: int) -> Message:
    """A person's consent to be told which, once the count is known. Raises `RoundtableMalformed` before."""
    if so_far.said(Kind.COUNT) is None and so_far.heard(Kind.COUNT) is None:
        raise RoundtableMalformed("there is no count yet that one could agree upon")
    return Message(Kind.AGREED, party.public, at, round=name_of(so_far))


def name_of(so_far: Round) -> str:
    """The round's id. Raises `RoundtableMalformed` before both offers are there."""
    mine, theirs = so_far.said(Kind.OFFER), so_far.heard(Kind.OFFER)
    if mine is None or theirs is None:
        raise RoundtableMalformed("both offers come first")
    offers = sorted(msgspec.json.encode(each) for each in (mine, theirs))
    return hashlib.sha256(b"\0".join(offers)).hexdigest()


def check(so_far: Round) -> None:
    """That both sides speak of one round, each kind once, in order. Raises `RoundtableMalformed`."""
    for messages in (so_far.mine, so_far.theirs):
        kinds = [each.kind for each in messages]
        if len(set(kinds)) != len(kinds) or len({each.key for each in messages}) > 1:
            raise RoundtableMalformed("a kind of message twice, or from two keys")
    theirs, mine = so_far.heard(Kind.OFFER), so_far.said(Kind.OFFER)
    if theirs is None or mine is None:
        return
    if theirs.key == mine.key or not 0 < theirs.size <= ELEMENTS_MOST or len(theirs.commitment) != len(_EMPTY):
        raise RoundtableMalformed("the other side's offer")
    name = name_of(so_far)
    if any(each.round != name for each in (*so_far.mine, *so_far.theirs) if each.kind is not Kind.OFFER):
        raise RoundtableMalformed("a message of another round")


def next_message(party: Party, so_far: Round, at: int, asked: Collection[str] = ()) -> Message | None:
    """What this side has to say now; None: it is the other's turn, or a person's.

    `asked`: what was answered before, as `asked_about` names it. Raises `RoundtableMalformed`, `AskedAlready`,
    `SetNotAsCommitted`.
    """
    check(so_far)
    if so_far.said(Kind.OFFER) is None:
        return offer(party, at)
    if so_far.heard(Kind.OFFER) is None:
        return None
    _same_set(party, so_far)
    asks = party.public < _heard(so_far, Kind.OFFER).key
    message = _as_asker(party, so_far, at) if asks else _as_answerer(party, so_far, at, asked)
    return message or _opened(party, so_far, at)


def asked_about(so_far: Round) -> str:
    """Which question this round is, for the log of what was answered: one's own incident and who asks."""
    mine, theirs = so_far.said(Kind.OFFER), so_far.heard(Kind.OFFER)
    return f"{mine.incident if mine else ''} {theirs.key if theirs else ''}"


def _as_asker(party: Party, so_far: Round, at: int) -> Message | None:
    name = name_of(so_far)
    if so_far.said(Kind.QUESTION) is None:
        request = intersection.question(_psi_key(party, name, opens=False), _shuffled(party), opens=False)
        return Message(Kind.QUESTION, party.public, at, round=name, data=(_text(request),))
    answer = so_far.heard(Kind.ANSWER)
    if answer is not None and so_far.said(Kind.COUNT) is None:
        setup, response = _parts(answer)
        _expect(intersection.size_of_setup(setup), _heard(so_far, Kind.OFFER).size)
        counted = intersection.count(_psi_key(party, name, opens=False), setup, response)
        return Message(Kind.COUNT, party.public, at, round=name, count=counted)
    if _both_agreed(so_far) and so_far.said(Kind.OPEN_QUESTION) is None:
        request = intersection.question(_psi_key(party, name, opens=True), _shuffled(party), opens=True)
        return Message(Kind.OPEN_QUESTION, party.public, at, round=name, data=(_text(request),))
    return None


def _as_answerer(party: Party, so_far: Round, at: int, asked: Collection[str]) -> Message | None:
    name = name_of(so_far)
    for heard, told, opens in (
        (Kind.QUESTION, Kind.ANSWER, False),
        (Kind.OPEN_QUESTION, Kind.OPEN_ANSWER, True),
    ):
        question = so_far.heard(heard)
        if question is None or so_far.said(told) is not None:
            continue
        if opens and not _both_agreed(so_far):
            raise RoundtableMalformed("which they are was asked before both agreed")
        if not opens and asked_about(so_far) in asked:
            raise AskedAlready(party.incident)
        (request,) = _parts(question, 1)
        _expect(intersection.size_of_question(request, opens=opens), _heard(so_far, Kind.OFFER).size)
        parts = intersection.answer(_psi_key(party, name, opens=opens), _shuffled(party), request, opens=opens)
        return Message(told, party.public, at, round=name, data=tuple(_text(part) for part in parts))
    return None


def _opened(party: Party, so_far: Round, at: int) -> Message | None:
    """The shared elements, with proof that they were in the committed set. The asker finds them and tells first."""
    if so_far.said(Kind.OPENED) is not None:
        return None
    name = name_of(so_far)
    answer, theirs = so_far.heard(Kind.OPEN_ANSWER), so_far.heard(Kind.OPENED)
    if answer is not None:
        setup, response = _parts(answer)
        _expect(intersection.size_of_setup(setup), _heard(so_far, Kind.OFFER).size)
        hits = intersection.which(_psi_key(party, name, opens=True), setup, response, _shuffled(party))
    elif theirs is not None and so_far.said(Kind.OPEN_ANSWER) is not None:
        check_opened(so_far)
        hits = tuple(each for each in theirs.hits if each in party.elements)
        _expect(len(hits), len(theirs.hits))
    else:
        return None
    return Message(
        Kind.OPENED, party.public, at, round=name, hits=hits,
        salts=tuple(_salt(party, each).hex() for each in hits), leaves=_leaves(party),
    )  # fmt: skip


def check_opened(so_far: Round) -> tuple[str, ...]:
    """The elements that the other side showed, each of them in the set that it committed to before it asked.

    Raises `SetNotAsCommitted`.
    """
    opened, theirs = _heard(so_far, Kind.OPENED), _heard(so_far, Kind.OFFER)
    leaves = frozenset(opened.leaves)
    if _commitment(opened.leaves) != theirs.commitment or len(leaves) != theirs.size:
        raise SetNotAsCommitted("the commitment")
    if len(opened.salts) != len(opened.hits):
        raise SetNotAsCommitted("salts are missing")
    for hit, salt in zip(opened.hits, opened.salts, strict=True):
        if _leaf(hit, _bytes_of(salt)) not in leaves:
            raise SetNotAsCommitted("an element was not in it")
    return opened.hits


def audit(party: Party, so_far: Round) -> None:
    """For an auditor to whom a party opened its secrets: that its messages were made from the set it committed to.

    Raises `SetNotAsCommitted`.
    """
    _same_set(party, so_far)
    name = name_of(so_far)
    for kind, opens in ((Kind.QUESTION, False), (Kind.OPEN_QUESTION, True)):
        told = so_far.said(kind)
        key = _psi_key(party, name, opens=opens)
        if told is not None and told.data != (_text(intersection.question(key, _shuffled(party), opens=opens)),):
            raise SetNotAsCommitted(kind.value)
    for heard, kind, opens in (
        (Kind.QUESTION, Kind.ANSWER, False),
        (Kind.OPEN_QUESTION, Kind.OPEN_ANSWER, True),
    ):
        told, question = so_far.said(kind), so_far.heard(heard)
        if told is None or question is None:
            continue
        (request,) = _parts(question, 1)
        made = intersection.answer(_psi_key(party, name, opens=opens), _shuffled(party), request, opens=opens)
        if told.data != tuple(_text(part) for part in made):
            raise SetNotAsCommitted(kind.value)


def _heard(so_far: Round, kind: Kind) -> Message:
    message = so_far.heard(kind)
    if message is None:
        raise RoundtableMalformed(f"the other side's {kind} is missing")
    return message


def _both_agreed(so_far: Round) -> bool:
    return so_far.said(Kind.AGREED) is not None and so_far.heard(Kind.AGREED) is not None


def _same_set(party: Party, so_far: Round) -> None:
    mine = so_far.said(Kind.OFFER)
    if mine is None or mine.commitment != _commitment(_leaves(party)) or mine.size != len(party.elements):
        raise SetNotAsCommitted("one's own set changed since the offer")


def _expect(found: int, committed: int) -> None:
    if found != committed:
        raise SetNotAsCommitted(f"{found} elements, {committed} committed")


_EMPTY = hashlib.sha256(b"").hexdigest()


def _salt(party: Party, element: str) -> bytes:
    return hmac.digest(party.secret, b"salt\0" + element.encode(), "sha256")


def _leaf(element: str, salt: bytes) -> str:
    return hashlib.sha256(b"leaf\0" + salt + element.encode()).hexdigest()


def _leaves(party: Party) -> tuple[str, ...]:
    return tuple(sorted(_leaf(element, _salt(party, element)) for element in party.elements))


def _commitment(leaves: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(leaves).encode()).hexdigest()


def _shuffled(party: Party) -> tuple[str, ...]:
    """In an order that tells nothing: by their salts."""
    return tuple(sorted(party.elements, key=lambda element: _salt(party, element)))


def _psi_key(party: Party, name: str, *, opens: bool) -> bytes:
    """Another for every round and pass: two answers under one key could be compared."""
    return hmac.digest(party.secret, f"psi {opens} {name}".encode(), "sha256")


def _text(part: bytes) -> str:
    return b64encode(part).decode()


def _parts(message: Message, count: int = 2) -> tuple[bytes, ...]:
    try:
        parts = tuple(b64decode(part, validate=True) for part in message.data)
    except (NotBase64, ValueError):
        raise RoundtableMalformed(message.kind) from None
    if len(parts) != count:
        raise RoundtableMalformed(message.kind)
    return parts


def _bytes_of(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise RoundtableMalformed("a salt is no hex") from None
