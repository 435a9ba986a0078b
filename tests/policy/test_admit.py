"""Documents are taken by their signatures, once, and never an older one; keys change slowly and can be vetoed."""

from collections.abc import Callable

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fixtures_policy import NOW, VAULT, Books
from fixtures_signer import EVM, policy_text
from fixtures_watchtower import House, key_hex
from holdfast.core import canonical
from holdfast.core.certificates import CERTIFICATE_TAG, CertificateMalformed, Grant
from holdfast.core.errors import HoldfastError
from holdfast.core.orders import (
    CHECKS,
    RECOVERY_TAG,
    VETO_TAG,
    Decide,
    FloatKey,
    OrderMalformed,
    Recovery,
    Restore,
    RotateFloat,
    SignedOrder,
    SignedWord,
    Stage,
    Veto,
)  # fmt: skip
from holdfast.core.quorum import QuorumNotReached, QuorumNotTrusted, tagged
from holdfast.policy import admit
from holdfast.policy.admit import DocumentStale, NotBegun, RangesTaken, WordUnsigned
from holdfast.policy.decide import Allowed, decide
from holdfast.policy.document import POLICY_TAG
from holdfast.policy.record import Record
from holdfast.policy.rules import Rule


@pytest.fixture
def books() -> Books:
    return Books().ready()


def word(kind: type[Veto] | type[Recovery], version: int, key: Ed25519PrivateKey, by: str | None = None) -> SignedWord:
    tag = VETO_TAG if kind is Veto else RECOVERY_TAG
    document = canonical.write(kind("mer_one", version, by or key_hex(key), NOW))
    return SignedWord(document.decode(), key.sign(tagged(tag, document)).hex())


def test_a_journal_begins_with_the_quorum_that_was_pinned_and_no_other() -> None:
    books = Books()
    order = books.begin().entries[0].body.order  # type: ignore[union-attr]  # it is an ordered entry
    fingerprint = books.house.quorum.fingerprint()
    assert admit.genesis(order, fingerprint, NOW).order == order
    with pytest.raises(QuorumNotTrusted):
        admit.genesis(order, House().quorum.fingerprint(), NOW)
    with pytest.raises(QuorumNotReached):
        admit.genesis(msgspec.structs.replace(order, signatures=order.signatures[:1]), fingerprint, NOW)
    with pytest.raises(OrderMalformed):
        admit.genesis(books.house.order(Restore(("*",), Stage.ALLOWLISTED, NOW, 1, CHECKS)), fingerprint, NOW)
    with pytest.raises(NotBegun):
        admit.policy(Record(), policy_text(), (), NOW)


def test_a_policy_needs_its_quorum_and_a_higher_version(books: Books) -> None:
    text = policy_text().replace("version = 1", "version = 2", 1)
    signatures = books.sign(POLICY_TAG, text.encode())
    with pytest.raises(QuorumNotReached):
        admit.policy(books.record, text, signatures[:1], NOW)
    with pytest.raises(QuorumNotReached):
        admit.policy(books.record, text, (signatures[0], signatures[0]), NOW)
    with pytest.raises(QuorumNotReached):
        admit.policy(books.record, text, books.sign(CERTIFICATE_TAG, text.encode()), NOW)
    assert admit.policy(books.record, policy_text(), (), NOW) is None  # taken before
    taken = admit.policy(books.record, text, signatures, NOW)
    assert taken is not None
    books.add(taken)
    older = policy_text() + "# the same version, other bytes\n"
    with pytest.raises(DocumentStale):
        admit.policy(books.record, older, books.sign(POLICY_TAG, older.encode()), NOW)


def test_a_certificate_is_taken_once_in_order_and_grants_nobody_elses_addresses(books: Books) -> None:
    first, second = books.certificate(1), books.certificate(2)
    assert admit.certificate(books.record, first.document().decode(), (), NOW) is None
    document = second.document()
    with pytest.raises(QuorumNotReached):
        admit.certificate(books.record, document.decode(), books.sign(CERTIFICATE_TAG, document, 1), NOW)
    taken = admit.certificate(books.record, document.decode(), books.sign(CERTIFICATE_TAG, document), NOW)
    assert taken is not None
    books.add(taken)
    changed = books.certificate(1, Ed25519PrivateKey.generate()).document()
    with pytest.raises(DocumentStale):
        admit.certificate(books.record, changed.decode(), books.sign(CERTIFICATE_TAG, changed), NOW)
    thief = books.certificate(1, merchant="mer_two", networks=(Grant(EVM.id, VAULT, ((5, 6),)),)).document()
    with pytest.raises(RangesTaken):
        admit.certificate(books.record, thief.decode(), books.sign(CERTIFICATE_TAG, thief), NOW)
    other = books.certificate(3, recovery_key=b"\7" * 32).document()
    with pytest.raises(CertificateMalformed):
        admit.certificate(books.record, other.decode(), books.sign(CERTIFICATE_TAG, other), NOW)


@pytest.mark.parametrize(
    "document", [b"", b"{}", b"null", b'{"kind":"restore"}', b'{"kind":"genesis"}', b"\xff", b"[" * 50_000]
)
def test_an_order_that_is_none_is_refused_by_name(books: Books, document: bytes) -> None:
    with pytest.raises(HoldfastError):
        admit.order(books.record, SignedOrder(document.decode(errors="replace"), ()), NOW)


def test_an_order_counts_once(books: Books) -> None:
    moved = FloatKey(EVM.id, "02" + "ee" * 32, "0x" + "f2" * 20, "0x" + "5a" * 20)
    order = books.house.order(RotateFloat(moved, 7))
    taken = admit.order(books.record, order, NOW)
    assert taken is not None
    books.add(taken)
    assert books.record.floats[EVM.id] == moved
    assert [one.address for one in books.record.old_floats] == ["0x" + "f1" * 20]
    assert admit.order(books.record, order, NOW) is None
    with pytest.raises(QuorumNotReached):
        admit.order(books.record, books.house.order(Restore(("*",), Stage.ALLOWLISTED, NOW, 8, CHECKS), by=1), NOW)
    with pytest.raises(OrderMalformed):
        admit.order(
            books.record, books.house.order(RotateFloat(msgspec.structs.replace(moved, network="eip155:5"), 9)), NOW
        )


def decided(books: Books, key: Ed25519PrivateKey) -> object:
    decision = decide(books.proposal(key=key), books.record, books.moment())
    return "allowed" if isinstance(decision, Allowed) else decision.rule


def test_a_changed_key_counts_after_its_cooling_off_and_the_old_one_until_then(books: Books) -> None:
    new = Ed25519PrivateKey.generate()
    books.certify(2, new)
    assert (decided(books, books.merchant), decided(books, new)) == ("allowed", Rule.SIGNATURE_INVALID)
    books.now += 3_600
    assert (decided(books, books.merchant), decided(books, new)) == (Rule.SIGNATURE_INVALID, "allowed")


def test_a_veto_by_the_old_key_freezes_until_the_recovery_key_decides(books: Books) -> None:
    thief = Ed25519PrivateKey.generate()
    books.certify(2, thief)
    with pytest.raises(WordUnsigned):
        admit.veto(books.record, word(Veto, 2, thief), NOW)
    with pytest.raises(WordUnsigned):
        admit.veto(books.record, word(Veto, 2, thief, by=key_hex(books.merchant)), NOW)
    taken = admit.veto(books.record, word(Veto, 2, books.merchant), NOW)
    assert taken is not None
    books.add(taken)
    books.now += 100_000
    assert (decided(books, books.merchant), decided(books, thief)) == (Rule.MERCHANT_FROZEN, Rule.MERCHANT_FROZEN)
    with pytest.raises(WordUnsigned):
        admit.recovery(books.record, word(Recovery, 1, books.merchant), NOW)
    recovered = admit.recovery(books.record, word(Recovery, 1, books.recovery), books.now)
    assert recovered is not None
    books.add(recovered)
    assert (decided(books, books.merchant), decided(books, thief)) == ("allowed", Rule.SIGNATURE_INVALID)


def test_after_a_veto_the_quorum_alone_decides_only_after_its_long_delay(books: Books) -> None:
    new = Ed25519PrivateKey.generate()
    books.certify(2, new)
    veto = admit.veto(books.record, word(Veto, 2, books.recovery), NOW)
    assert veto is not None
    books.add(veto)
    order = admit.order(books.record, books.house.order(Decide("mer_one", 2, 5)), books.now)
    assert order is not None
    books.add(order)
    books.now += 7_199
    assert decided(books, new) is Rule.MERCHANT_FROZEN
    books.now += 1
    assert (decided(books, new), decided(books, books.merchant)) == ("allowed", Rule.SIGNATURE_INVALID)


@pytest.mark.parametrize("change", [lambda text: text + " ", lambda text: text.replace("mer_one", "mer_two")])
def test_words_and_orders_with_one_byte_changed_are_nobodys(books: Books, change: Callable[[str], str]) -> None:
    good = word(Veto, 2, books.merchant)
    books.certify(2, Ed25519PrivateKey.generate())
    with pytest.raises((WordUnsigned, OrderMalformed)):
        admit.veto(books.record, msgspec.structs.replace(good, document=change(good.document)), NOW)
