"""What a merchant signs has one form, one id and one meaning: the published vectors, and what chance makes of them."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, strategies as st

from holdfast.core import intents
from holdfast.core.intents import (
    Intent,
    IntentMalformed,
    SignedIntent,
    StandingOrder,
    document_of,
    read_intent,
    signing_input,
    standing_payout,
)
from holdfast.core.quorum import is_signed

ROOT = Path(__file__).parents[2]
FILE = ROOT / "tests" / "vectors" / "intents.json"
VECTORS: dict[str, Any] = json.loads(FILE.read_bytes())
KEY = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(VECTORS["private_key"]))


def named(which: str) -> Any:
    return pytest.mark.parametrize("vector", VECTORS[which], ids=lambda vector: vector["name"])


@named("good")
def test_a_good_vector_has_these_bytes_this_id_and_this_signature(vector: dict[str, Any]) -> None:
    intent = read_intent(vector["document"].encode())
    assert document_of(intent).decode() == vector["document"]
    assert json.loads(vector["document"]) == vector["intent"]
    assert SignedIntent(vector["document"], vector["signature"]).id == vector["id"]
    message = signing_input(vector["document"].encode())
    assert message.hex() == vector["signing_input"]
    assert message.startswith(bytes.fromhex(VECTORS["domain_tag"]))
    assert KEY.sign(message).hex() == vector["signature"]
    assert is_signed(VECTORS["public_key"], vector["signature"], message)


@named("forged")
def test_a_forged_vector_is_not_signed(vector: dict[str, Any]) -> None:
    document = vector["document"].encode()
    read_intent(document)
    assert not is_signed(VECTORS["public_key"], vector["signature"], signing_input(document))


@named("bad")
def test_a_bad_vector_is_refused_with_its_code(vector: dict[str, Any]) -> None:
    with pytest.raises(IntentMalformed) as refused:
        read_intent(vector["document"].encode())
    assert refused.value.code == vector["code"]


def test_the_published_vectors_are_what_the_script_makes() -> None:
    spec = importlib.util.spec_from_file_location("intent_vectors", ROOT / "scripts" / "intent_vectors.py")
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert msgspec.json.format(msgspec.json.encode(module.vectors())) + b"\n" == FILE.read_bytes()


def test_no_two_good_vectors_have_one_id() -> None:
    assert len({vector["id"] for vector in VECTORS["good"]}) == len(VECTORS["good"])


DOCUMENTS = [vector["document"].encode() for vector in VECTORS["good"]]
LEAF = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text(max_size=20),
    st.sampled_from(["0", "1", "payout", "eip155:1", "x" * 121, "\x00", "\u00fc", "1e3", " 1", "0x1"]),
)  # fmt: skip
ANY = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
)


def checked(document: bytes) -> None:
    """Whatever it is: refused by name, or exactly one intent whose bytes these are."""
    try:
        intent: Intent = read_intent(document)
    except IntentMalformed:
        return
    assert document_of(intent) == document


@given(st.sampled_from(DOCUMENTS), st.data())
def test_a_document_with_other_bytes_in_it_is_refused_or_means_itself(document: bytes, data: st.DataObject) -> None:
    changed = bytearray(document)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed) - 1))
        if data.draw(st.booleans()):
            changed[place] = data.draw(st.integers(0, 255))
        else:
            del changed[place : place + data.draw(st.integers(1, 9))]
        if not changed:
            break
    checked(bytes(changed))


@given(st.sampled_from(DOCUMENTS), st.data())
def test_a_document_with_other_values_in_it_is_refused_or_means_itself(document: bytes, data: st.DataObject) -> None:
    value = json.loads(document)
    for name in data.draw(st.sets(st.sampled_from(sorted(value)), min_size=1, max_size=3)):
        if data.draw(st.booleans()):
            value[name] = data.draw(ANY)
        else:
            del value[name]
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    checked(text.encode(errors="surrogatepass"))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_by_name(document: bytes) -> None:
    checked(document)


@given(st.integers(1_000, 100_000))
def test_what_is_nested_deeply_is_refused_by_name(depth: int) -> None:
    checked(b'{"kind":"payout","lines":' + b"[" * depth)


def order() -> StandingOrder:
    found = [read_intent(document) for document in DOCUMENTS]
    [standing] = [one for one in found if isinstance(one, StandingOrder)]
    return standing


@given(st.integers(0, 89), st.integers(1, 500_000_000))
def test_a_slot_pays_the_orders_destination_within_its_own_time(slot: int, units: int) -> None:
    standing = order()
    payout = standing_payout(standing, slot, units)
    assert [(line.destination, line.units) for line in payout.lines] == [(standing.destination, units)]
    assert standing.slot_at(payout.not_before) == slot == standing.slot_at(payout.expires_at - 1)
    assert payout.fee_units == standing.fee_units
    assert payout.expires_at <= standing.expires_at


@pytest.mark.parametrize(("slot", "units"), [(-1, 1), (0, 0), (0, 500_000_001)])
def test_a_slot_pays_nothing_that_the_order_does_not_say(slot: int, units: int) -> None:
    with pytest.raises(IntentMalformed):
        standing_payout(order(), slot, units)


def test_intents_and_approvals_are_signed_over_different_words() -> None:
    assert intents.INTENT_TAG != intents.APPROVAL_TAG
