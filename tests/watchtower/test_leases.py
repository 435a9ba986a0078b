"""When a lease is granted, and every reason why none is: the journal that the watchtower holds decides."""

import hashlib

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fixtures_watchtower import NOW_MS, Book, Desk, House, key_hex
from holdfast.core.journal import (
    EMPTY,
    CertificateTaken,
    Head,
    Ordered,
    PolicyTaken,
    Refused,
    Reserved,
    Signed,
    Started,
    Stopped,
    StoredEntry,
    entry_hash,
)
from holdfast.core.leases import Ask, Fetched, LeaseInvalid, LeaseRefused, LeaseRequest, accept, fetch_message
from holdfast.core.orders import CHECKS, Reanchor, Restore, SignedOrder, Stage
from holdfast.core.quorum import Signature

BITCOIN = "bip122:000000000019d6689c085ae165831e93"


def started(number: int = 1) -> Started:
    return Started(f"boot {number}", "0.1.0")


def reserved() -> Reserved:
    return Reserved(
        network=BITCOIN, asset=f"{BITCOIN}/slip44:0", purpose="payout", account="", payouts=(),
        transaction="00", inputs=("aa:0",), nonce=None,
        out_units=1, change_index=None, change_units=0, fee_units=1, extra_fee_units=1, replaces=None,
        refill_seconds=0,
    )  # fmt: skip


def paying(book: Book) -> None:
    """One transaction's entries, as a signer writes them: reserved, signed."""
    head = book.add(reserved())
    book.add(Signed(head.seq, "aa", "bb"))


class TestGranted:
    def test_a_lease_names_the_newest_entry_and_what_follows_from_the_journal(self, desk: Desk, book: Book) -> None:
        book.add(PolicyTaken("policy 1", (), 1), CertificateTaken("certificate a", (), 1))
        book.add(CertificateTaken("certificate b", (), 1), PolicyTaken("policy 2", (), 1))
        request = book.ask(0)
        lease = accept(desk.granted(request), request.ask, key_hex(desk.house.lease_key))
        assert lease.witnessed == book.head
        assert lease.policy == hashlib.sha256(b"policy 2").hexdigest()
        first = hashlib.sha256(b"certificate a").hexdigest()
        assert lease.enrolment == hashlib.sha256(f"{first}certificate b".encode()).hexdigest()
        assert (lease.frozen, lease.duration_ms, lease.tower_seconds) == ((), 5_000, NOW_MS // 1_000)

    def test_an_answer_counts_for_its_own_request_only(self, desk: Desk, book: Book) -> None:
        request, other = book.ask(0), book.ask(0)
        answer = desk.granted(request)
        with pytest.raises(LeaseInvalid):
            accept(answer, other.ask, key_hex(desk.house.lease_key))
        with pytest.raises(LeaseInvalid):
            accept(answer, request.ask, key_hex(Ed25519PrivateKey.generate()))
        longer = msgspec.structs.replace(answer.lease, duration_ms=10**9)
        with pytest.raises(LeaseInvalid):
            accept(msgspec.structs.replace(answer, lease=longer), request.ask, key_hex(desk.house.lease_key))

    def test_the_same_request_sent_twice_is_granted_twice_and_stored_once(self, desk: Desk, book: Book) -> None:
        desk.granted(book.ask(0))
        book.add(started())
        for _ in range(2):
            assert desk.granted(book.ask(1)).lease.witnessed == book.head
        book.add(started(2))
        assert desk.granted(book.ask(0)).lease.witnessed == book.head
        assert desk.granted(book.ask(3)).lease.witnessed == book.head
        assert len(desk.store.entries(0, 10)) == 3

    def test_everything_is_there_after_a_restart(self, desk: Desk, book: Book) -> None:
        book.add(PolicyTaken("policy", (), 1), CertificateTaken("certificate", (), 1), started())
        before = desk.granted(book.ask(0)).lease
        desk.restart()
        after = desk.granted(book.ask(book.head.seq)).lease
        assert msgspec.structs.replace(after, nonce=before.nonce) == before

    def test_a_thousand_payouts_are_one_request(self, desk: Desk, book: Book) -> None:
        book.add(*(Refused("ab" * 32, "limit-total", "x" * 500) for _ in range(3_000)))
        assert desk.granted(book.ask(0)).lease.seq == 3_001


class TestRefused:
    def test_a_stranger_learns_nothing(self, desk: Desk, book: Book) -> None:
        desk.granted(book.ask(0))
        stranger = Ed25519PrivateKey.generate()
        assert desk.refused(book.ask(0, key=stranger)) == LeaseRefused("request-unsigned", 0, EMPTY)
        request = book.ask(1)
        other = msgspec.structs.replace(request, ask=msgspec.structs.replace(request.ask, nonce="00" * 32))
        assert desk.refused(other).refused == "request-unsigned"
        huge = msgspec.structs.replace(request, ask=Ask("00" * 32, 1, 2**60, "00" * 32))
        assert desk.refused(huge).refused == "request-unsigned"

    def test_a_journal_begins_with_the_pinned_quorums_genesis(self, desk: Desk) -> None:
        foreign = Book(House())
        foreign.begin()
        assert desk.refused(foreign.ask(0)) == LeaseRefused("genesis-unknown", 0, EMPTY)
        own = Book(desk.house)
        own.add(started())
        assert desk.refused(own.ask(0)).refused == "genesis-unknown"
        alone = Book(desk.house)
        alone.add(Ordered(desk.house.order(desk.house.genesis(), by=1), 1))
        assert desk.refused(alone.ask(0)).refused == "genesis-unknown"
        step = Book(desk.house)
        step.add(Ordered(desk.house.order(Restore(("*",), Stage.ALLOWLISTED, 1, 1, CHECKS)), 1))
        assert desk.refused(step.ask(0)).refused == "genesis-unknown"
        assert desk.store.standing.head == Head()

    def test_an_empty_store_asks_for_the_entries_whoever_asks(self, desk: Desk, book: Book) -> None:
        book.add(started())
        assert desk.refused(book.ask(2)) == LeaseRefused("entries-missing", 0, EMPTY)

    def test_a_signer_that_is_ahead_is_told_from_where_to_send(self, desk: Desk, book: Book) -> None:
        known = book.head
        desk.granted(book.ask(0))
        book.add(started(), started(2))
        assert desk.refused(book.ask(2)) == LeaseRefused("entries-missing", known.seq, known.hash)
        assert desk.granted(book.ask(1)).lease.seq == 3

    def test_an_old_copy_of_the_journal_gets_no_lease(self, desk: Desk, book: Book) -> None:
        book.add(started(), started(2))
        desk.granted(book.ask(0))
        refusal = LeaseRefused("journal-behind", book.head.seq, book.head.hash)
        old = book.copy(2)
        assert desk.refused(old.ask(2)) == refusal
        assert desk.refused(old.ask(0)) == refusal
        nothing = desk.refused(book.asking(Ask("00" * 32, 0, 0, EMPTY)))
        assert nothing == refusal
        desk.restart()
        assert desk.refused(old.ask(2)) == refusal
        assert desk.store.frozen == ()

    @pytest.mark.parametrize("after", [1, 2, 3])
    def test_two_histories_under_one_key_freeze_everything_for_good(self, desk: Desk, book: Book, after: int) -> None:
        fork = book.copy(1)
        book.add(started(), started(2))
        desk.granted(book.ask(0))
        fork.add(*(started(9),) * 4)
        refusal = desk.refused(fork.copy(3).ask(after) if after == 3 else fork.ask(after))
        assert (refusal.refused, refusal.head) == ("journal-forked", book.head.hash)
        assert desk.granted(book.ask(3)).lease.frozen == ("*",)
        desk.refused(fork.ask(after))
        desk.restart()
        assert desk.granted(book.ask(3)).lease.is_frozen(BITCOIN)

    def test_an_old_copy_that_was_changed_is_a_fork(self, desk: Desk, book: Book) -> None:
        fork = book.copy(1)
        book.add(started(), started(2))
        desk.granted(book.ask(0))
        fork.add(started(9))
        assert desk.refused(fork.ask(2)).refused == "journal-forked"

    @pytest.mark.parametrize("change", ["edited", "missing", "other-head", "surplus", "negative"])
    def test_entries_that_do_not_follow_are_refused(self, desk: Desk, book: Book, change: str) -> None:
        known = book.head
        desk.granted(book.ask(0))
        book.add(started(), started(2))
        request = book.ask(1)
        match change:
            case "edited":
                document = request.entries[0].document.replace("boot 1", "boot 7")
                entries = (StoredEntry(document, request.entries[0].hash), request.entries[1])
                request = msgspec.structs.replace(request, entries=entries)
            case "missing":
                request = msgspec.structs.replace(request, entries=request.entries[1:])
            case "other-head":
                request = replace_ask(book, request, head="ab" * 32)
            case "surplus":
                request = replace_ask(book, request, seq=2)
            case _:
                entries = (book.entries[0].stored, *(one.stored for one in book.entries))
                request = replace_ask(book, msgspec.structs.replace(request, entries=entries), after=-1)
        assert desk.refused(request) == LeaseRefused("journal-broken", known.seq, known.hash)
        assert desk.store.standing.head == known

    def test_an_entry_that_hashes_well_and_says_nothing_known_is_refused(self, desk: Desk, book: Book) -> None:
        desk.granted(book.ask(0))
        head = book.head
        document = '{"body":{"kind":"gift"},"seq":2,"written_at":1}'
        digest = entry_hash(head.hash, document.encode())
        ask = Ask("00" * 32, 1, 2, digest)
        signed = book.asking(ask)
        assert (
            desk.refused(LeaseRequest(ask, (StoredEntry(document, digest),), signed.signature)).refused
            == "journal-broken"
        )

    @pytest.mark.parametrize("line", [b"", b"[]", b"{}", b"nonsense", b'{"ask":1}', b'{"signature":"00"}', b"[" * 5000])
    def test_what_is_no_request_is_told_so(self, desk: Desk, line: bytes) -> None:
        assert desk.tower.answer(line) == LeaseRefused("unreadable", 0, "")

    def test_an_order_in_the_journal_that_the_quorum_did_not_sign_is_refused(self, desk: Desk, book: Book) -> None:
        desk.granted(book.ask(0))
        book.add(Ordered(desk.house.order(Restore(("*",), Stage.ALLOWLISTED, 1, 1, CHECKS), by=1), 1))
        assert desk.refused(book.ask(1)).refused == "journal-broken"
        again = book.copy(1)
        again.begin()
        assert desk.refused(again.ask(1)).refused == "journal-broken"

    def test_a_journal_that_obeys_another_watchtower_gets_no_lease_here(self, desk: Desk) -> None:
        book = Book(desk.house)
        book.begin(desk.house.genesis(lease_key="ab" * 32))
        assert desk.refused(book.ask(0)).refused == "lease-key-other"


def replace_ask(book: Book, request: LeaseRequest, **changes: object) -> LeaseRequest:
    """The same entries under another question, signed by the journal key."""
    ask = msgspec.structs.replace(request.ask, **changes)
    return LeaseRequest(ask, request.entries, book.asking(ask).signature)


class TestStoreLost:
    """A watchtower whose store is new, or older than the leases that it granted, cannot know the newest journal."""

    def paid(self, desk: Desk, book: Book) -> None:
        desk.granted(book.ask(0))
        for _ in range(2):
            head = book.add(reserved())
            desk.granted(book.ask(head.seq - 1))
            book.add(Signed(head.seq, "aa", "bb"))
            desk.granted(book.ask(head.seq))

    def test_what_was_reserved_signed_and_witnessed_in_order_is_granted(self, desk: Desk, book: Book) -> None:
        self.paid(desk, book)
        desk.restart()
        assert desk.granted(book.ask(book.head.seq)).lease.seq == 5

    def test_a_signature_without_a_lease_before_it_is_kept_and_stops_all_leases(self, desk: Desk, book: Book) -> None:
        desk.granted(book.ask(0))
        paying(book)
        assert desk.refused(book.ask(1)) == LeaseRefused("anchor-missing", book.head.seq, book.head.hash)
        desk.restart()
        book.add(started())
        assert desk.refused(book.ask(3)).refused == "anchor-missing"

    def test_a_lost_store_takes_the_journal_back_and_waits_for_the_quorum(self, desk: Desk, book: Book) -> None:
        self.paid(desk, book)
        anchor = book.head
        desk.lose_store()
        assert desk.refused(book.ask(book.head.seq)).refused == "entries-missing"
        assert desk.refused(book.ask(0)).refused == "anchor-missing"
        order = Reanchor(anchor.seq, anchor.hash, key_hex(desk.house.lease_key), 7)
        book.add(started(), Ordered(desk.house.order(order), 1))
        assert desk.granted(book.ask(5)).lease.witnessed == book.head
        desk.restart()
        assert desk.granted(book.ask(book.head.seq)).lease.witnessed == book.head

    def test_a_long_journal_comes_back_in_parts(self, desk: Desk, book: Book) -> None:
        self.paid(desk, book)
        anchor = book.head
        order = Reanchor(anchor.seq, anchor.hash, key_hex(desk.house.lease_key), 7)
        book.add(Ordered(desk.house.order(order), 1))
        desk.lose_store()
        assert desk.refused(book.copy(3).ask(0)).refused == "anchor-missing"
        assert desk.refused(book.copy(5).ask(3)).refused == "anchor-missing"
        assert desk.granted(book.ask(5)).lease.witnessed == book.head

    def test_a_re_anchoring_covers_what_it_names_and_nothing_after(self, desk: Desk, book: Book) -> None:
        self.paid(desk, book)
        early = book.copy(3).head
        desk.lose_store()
        book.add(Ordered(desk.house.order(Reanchor(early.seq, early.hash, key_hex(desk.house.lease_key), 7)), 1))
        assert desk.refused(book.ask(0)).refused == "anchor-missing"

    def test_what_comes_back_while_no_lease_is_granted_was_not_leased_either(self, desk: Desk, book: Book) -> None:
        self.paid(desk, book)
        early = book.copy(3).head
        desk.lose_store()
        book.add(Ordered(desk.house.order(Reanchor(early.seq, early.hash, key_hex(desk.house.lease_key), 7)), 1))
        assert desk.refused(book.copy(4).ask(0)).refused == "anchor-missing"
        assert desk.refused(book.ask(4)).refused == "anchor-missing"

    @pytest.mark.parametrize(("seq", "head"), [(2, "ab" * 32), (0, EMPTY), (99, EMPTY)])
    def test_a_re_anchoring_at_another_head_is_no_order(self, desk: Desk, book: Book, seq: int, head: str) -> None:
        self.paid(desk, book)
        book.add(Ordered(desk.house.order(Reanchor(seq, head, key_hex(desk.house.lease_key), 7)), 1))
        assert desk.refused(book.ask(5)).refused == "journal-broken"

    def test_a_new_watchtower_is_named_by_the_order(self, desk: Desk, book: Book) -> None:
        self.paid(desk, book)
        anchor = book.head
        desk.house.lease_key = Ed25519PrivateKey.generate()
        desk.lose_store()
        book.add(Ordered(desk.house.order(Reanchor(anchor.seq, anchor.hash, key_hex(desk.house.lease_key), 7)), 1))
        assert desk.refused(book.copy(5).ask(0)).refused == "lease-key-other"
        assert desk.granted(book.ask(5)).lease.witnessed == book.head


class TestFetched:
    def test_a_signer_that_lost_its_disk_gets_its_journal_back(self, desk: Desk, book: Book) -> None:
        book.add(started(), started(2))
        desk.granted(book.ask(0))
        ask = Ask("00" * 32, 1, 0, EMPTY)
        signature = desk.house.journal_key.sign(fetch_message(ask)).hex()
        answer = desk.ask({"fetch": ask, "signature": signature})
        assert answer == Fetched(tuple(one.stored for one in book.entries[1:]))

    def test_nobody_else_gets_it_not_even_with_a_request_for_a_lease(self, desk: Desk, book: Book) -> None:
        request = book.ask(0)
        desk.granted(request)
        assert desk.refused({"fetch": request.ask, "signature": request.signature}).refused == "request-unsigned"
        assert desk.refused({"fetch": request.ask}).refused == "request-unsigned"


def test_a_signer_that_stopped_itself_stands_still_until_the_quorum_restores_it(desk: Desk, book: Book) -> None:
    book.add(Stopped(BITCOIN, "a spend that is not in the journal"))
    assert desk.granted(book.ask(0)).lease.frozen == (BITCOIN,)
    desk.restart()
    desk.now_ms += 10_000
    book.add(
        Ordered(desk.house.order(Restore((BITCOIN,), Stage.ALLOWLISTED, desk.now_ms // 1_000, 1, CHECKS)), 1), started()
    )
    assert desk.granted(book.ask(2)).lease.frozen == ()
    book.add(Stopped(BITCOIN, "again"))
    assert desk.granted(book.ask(4)).lease.frozen == (BITCOIN,)


def test_the_quorums_signature_is_asked_of_those_who_are_in_it(desk: Desk, book: Book) -> None:
    desk.granted(book.ask(0))
    order = desk.house.order(Restore(("*",), Stage.ALLOWLISTED, 1, 1, CHECKS), by=1)
    stranger = Ed25519PrivateKey.generate()
    forged = msgspec.structs.replace(order, signatures=(*order.signatures, Signature(key_hex(stranger), "00" * 64)))
    doubled = msgspec.structs.replace(order, signatures=order.signatures * 2)
    for unsigned in (forged, doubled):
        assert replace_order(desk, book, unsigned) == "journal-broken"


def replace_order(desk: Desk, book: Book, order: SignedOrder) -> str:
    fork = book.copy(1)
    fork.add(Ordered(order, 1))
    return str(desk.refused(fork.ask(1)).refused)
