"""A Safe transaction: hashed as Ethereum's own library hashes it, a payment or refused by name, signed by owners."""

from collections.abc import Callable

import msgspec
import pytest
from coincurve import PrivateKey
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given, settings, strategies as st

from fixtures_vault import ADA, BO, CY, PLAN, SAFE, STRANGER, check_of
from holdfast.chains.evm_contracts import COIN, plan_vault, selector, transfer_call, word
from holdfast.core.errors import HoldfastError
from holdfast.core.evm import EvmAddressChecksumWrong, EvmAddressMalformed, checksum
from holdfast.vault.checks import NotChecked
from holdfast.vault.officers import EVM_PATH, OfficerSecret, evm_key, public_part
from holdfast.vault.safe import (
    SafeCallForbidden,
    SafeDelegateCall,
    SafeDraft,
    SafeDraftMalformed,
    SafeDraftsDiffer,
    SafePayment,
    SafePaymentPointless,
    SafeRefund,
    SafeSignatureInvalid,
    SafeSignaturesMissing,
    SafeTransaction,
    combine,
    draft_of,
    finalise,
    payment_of,
    read,
    sign,
    vault_of,
    with_signature,
    write,
)

FLOAT = checksum(b"\xf1" * 20)
TOKEN = checksum(b"\x70" * 20)
COINS = draft_of(SAFE, SafePayment(COIN, FLOAT, 5 * 10**18), 7)
TOKENS = draft_of(SAFE, SafePayment(TOKEN, FLOAT, 10**6), 8)
CHECK = check_of(TOKENS.network, TOKENS.digest)

WORDS = st.integers(0, 2**256 - 1)
ADDRESSES = st.binary(min_size=20, max_size=20).map(checksum)

TYPES = {
    "EIP712Domain": [{"name": "chainId", "type": "uint256"}, {"name": "verifyingContract", "type": "address"}],
    "SafeTx": [
        {"name": "to", "type": "address"},
        {"name": "value", "type": "uint256"},
        {"name": "data", "type": "bytes"},
        {"name": "operation", "type": "uint8"},
        {"name": "safeTxGas", "type": "uint256"},
        {"name": "baseGas", "type": "uint256"},
        {"name": "gasPrice", "type": "uint256"},
        {"name": "gasToken", "type": "address"},
        {"name": "refundReceiver", "type": "address"},
        {"name": "nonce", "type": "uint256"},
    ],
}


def typed_data(one: SafeTransaction) -> object:
    """The same transaction for eth-account's own EIP-712."""
    return encode_typed_data(
        full_message={
            "types": TYPES,
            "primaryType": "SafeTx",
            "domain": {"chainId": one.chain_id, "verifyingContract": one.safe},
            "message": {
                "to": one.to,
                "value": int(one.value),
                "data": bytes.fromhex(one.data[2:]),
                "operation": one.operation,
                "safeTxGas": int(one.safe_tx_gas),
                "baseGas": int(one.base_gas),
                "gasPrice": int(one.gas_price),
                "gasToken": one.gas_token,
                "refundReceiver": one.refund_receiver,
                "nonce": one.nonce,
            },
        }
    )


@settings(deadline=None)
@given(
    st.builds(
        SafeTransaction,
        chain_id=st.integers(1, 2**53),
        safe=ADDRESSES,
        to=ADDRESSES,
        value=WORDS.map(str),
        data=st.binary(max_size=100).map(lambda data: "0x" + data.hex()),
        operation=st.integers(0, 1),
        safe_tx_gas=WORDS.map(str),
        base_gas=WORDS.map(str),
        gas_price=WORDS.map(str),
        gas_token=ADDRESSES,
        refund_receiver=ADDRESSES,
        nonce=st.integers(0, 2**53),
    )
)
def test_any_transaction_hashes_and_recovers_as_in_ethereums_own_library(one: SafeTransaction):
    key = evm_key(ADA)
    signed = Account.sign_message(typed_data(one), key)
    assert one.digest() == signed.message_hash.hex()
    owner = public_part("ada", ADA).evm_address
    assert Account.recover_message(typed_data(one), signature=signed.signature) == owner


def test_an_officers_signature_is_the_one_that_ethereum_wallets_make():
    signed = sign(TOKENS, ADA, CHECK)
    ((owner, signature),) = signed.signatures
    assert owner == public_part("ada", ADA).evm_address
    assert signature == Account.sign_message(typed_data(TOKENS.transaction), evm_key(ADA)).signature
    assert Account.from_key(evm_key(ADA)).address == owner, EVM_PATH


def test_what_is_drafted_is_what_is_paid():
    assert COINS.payment == SafePayment(COIN, FLOAT, 5 * 10**18)
    assert TOKENS.payment == SafePayment(TOKEN, FLOAT, 10**6)
    assert (COINS.transaction.to, COINS.transaction.data) == (FLOAT, "0x")
    assert (TOKENS.transaction.to, TOKENS.transaction.value) == (TOKEN, "0")


def call(signature: str, *words: bytes) -> str:
    return "0x" + (selector(signature) + b"".join(words)).hex()


TO = bytes.fromhex(FLOAT[2:]).rjust(32, b"\0")
TO_WITH_A_WRONG_DIGIT = checksum(b"\xab" * 20).replace("B", "b", 1)
TRANSFER = transfer_call(FLOAT, 10**6)


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"operation": 1}, SafeDelegateCall),
        ({"operation": 2}, SafeDelegateCall),
        ({"safe_tx_gas": "1"}, SafeRefund),
        ({"base_gas": "21000"}, SafeRefund),
        ({"gas_price": "1"}, SafeRefund),
        ({"gas_token": TOKEN}, SafeRefund),
        ({"refund_receiver": FLOAT}, SafeRefund),
        ({"data": call("approve(address,uint256)", TO, word(10**6))}, SafeCallForbidden),
        ({"data": call("increaseAllowance(address,uint256)", TO, word(10**6))}, SafeCallForbidden),
        ({"data": call("transferFrom(address,address,uint256)", TO, TO, word(1))}, SafeCallForbidden),
        ({"data": call("multiSend(bytes)", word(32), word(0))}, SafeCallForbidden),
        ({"data": call("addOwnerWithThreshold(address,uint256)", TO, word(1))}, SafeCallForbidden),
        ({"data": call("changeThreshold(uint256)", word(1))}, SafeCallForbidden),
        ({"data": call("enableModule(address)", TO)}, SafeCallForbidden),
        ({"data": call("execTransactionFromModule(address,uint256,bytes,uint8)", TO, word(1))}, SafeCallForbidden),
        ({"data": "0x" + TRANSFER.hex() + "00"}, SafeCallForbidden),
        ({"data": "0x" + TRANSFER[:-1].hex()}, SafeCallForbidden),
        ({"data": "0x" + (TRANSFER[:4] + b"\x01" + TRANSFER[5:]).hex()}, SafeCallForbidden),
        ({"data": "0x" + TRANSFER[:4].hex()}, SafeCallForbidden),
        ({"value": "1"}, SafeCallForbidden),
        ({"data": "0x" + transfer_call(FLOAT, 0).hex()}, SafePaymentPointless),
        ({"data": "0x" + transfer_call(SAFE.address, 1).hex()}, SafePaymentPointless),
        ({"data": "0x" + transfer_call(TOKEN, 1).hex()}, SafePaymentPointless),
        ({"data": "0x" + transfer_call(COIN, 1).hex()}, SafePaymentPointless),
        ({"to": SAFE.address}, SafePaymentPointless),
        ({"data": "0x", "value": "0"}, SafePaymentPointless),
        ({"data": "0x", "value": "1", "to": SAFE.address}, SafePaymentPointless),
        ({"data": "0x", "value": "1", "to": COIN}, SafePaymentPointless),
        ({"data": "0x0"}, SafeDraftMalformed),
        ({"data": "0xAB"}, SafeDraftMalformed),
        ({"data": "a9059cbb"}, SafeDraftMalformed),
        ({"data": "0x", "value": "01"}, SafeDraftMalformed),
        ({"data": "0x", "value": "-1"}, SafeDraftMalformed),
        ({"data": "0x", "value": str(2**256)}, SafeDraftMalformed),
        ({"to": "0x1"}, EvmAddressMalformed),
        ({"to": TO_WITH_A_WRONG_DIGIT}, EvmAddressChecksumWrong),
        ({"to": "0x" + "ab" * 20}, SafeDraftMalformed),
        ({"chain_id": 1}, SafeDraftMalformed),
        ({"safe": FLOAT}, SafeDraftMalformed),
        ({"safe": SAFE.address.lower()}, SafeDraftMalformed),
        ({"nonce": -1}, SafeDraftMalformed),
    ],
)  # fmt: skip
def test_a_transaction_with_one_thing_wrong_is_refused(fields: dict[str, object], refusal: type[HoldfastError]):
    document = write(TOKENS)
    assert read(document, SAFE) == TOKENS
    wrong = msgspec.structs.replace(TOKENS.transaction, **fields)
    with pytest.raises(refusal):
        read(write(SafeDraft(SAFE, wrong, ())), SAFE)


@given(st.binary(max_size=80), st.integers(0, 2))
def test_no_call_data_but_a_transfer_is_ever_a_payment(data: bytes, value: int):
    one = msgspec.structs.replace(TOKENS.transaction, data="0x" + data.hex(), value=str(value))
    try:
        paid = payment_of(one)
    except HoldfastError:
        return
    assert paid == SafePayment(COIN, TOKEN, value)
    assert data == b""


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda text: b"",
        lambda text: text.replace(b'{"holdfast_safe":1', b'{"holdfast_safe":2'),
        lambda text: text.replace(b'{"holdfast_safe":1', b'{ "holdfast_safe":1'),
        lambda text: text.replace(b'"operation":0', b'"operation":0,"extra":1'),
        lambda text: text.replace(b'"operation":0,', b""),
        lambda text: text.replace(b'"nonce":8', b'"nonce":8.0'),
    ],
)
def test_a_file_that_is_no_draft_is_refused(rewrite: Callable[[bytes], bytes]):
    with pytest.raises(SafeDraftMalformed):
        read(rewrite(write(TOKENS)), SAFE)


def test_a_file_that_is_far_too_large_is_not_parsed():
    with pytest.raises(SafeDraftMalformed, match="20001 bytes"):
        read(b" " * 20_001, SAFE)


def test_a_draft_of_other_officers_safe_is_refused():
    others = vault_of(31337, plan_vault(PLAN.owners[:2], 2))
    with pytest.raises(SafeDraftMalformed):
        read(write(TOKENS), others)


def test_nothing_is_signed_without_a_check_of_the_very_same_transaction():
    for wrong in (check_of(COINS.network, COINS.digest), check_of("eip155:1", TOKENS.digest)):
        with pytest.raises(NotChecked):
            sign(TOKENS, ADA, wrong)


def test_a_draft_that_never_went_through_a_file_is_judged_again_before_it_is_signed():
    approval = msgspec.structs.replace(TOKENS.transaction, data=call("approve(address,uint256)", TO, word(1)))
    smuggled = SafeDraft(SAFE, approval, ())
    with pytest.raises(SafeCallForbidden):
        sign(smuggled, ADA, check_of(smuggled.network, smuggled.digest))


def test_who_owns_no_share_cannot_sign():
    with pytest.raises(SafeSignatureInvalid):
        sign(TOKENS, STRANGER, CHECK)


def test_signatures_are_sorted_by_owner_whoever_signs_first():
    one, two, three = (sign(TOKENS, secret, CHECK) for secret in (ADA, BO, CY))
    joined = combine([three, one, two])
    assert joined == combine([two, three, one]) == sign(sign(sign(TOKENS, CY, CHECK), ADA, CHECK), BO, CHECK)
    owners = [bytes.fromhex(owner[2:]) for owner, _ in joined.signatures]
    assert owners == sorted(owners)
    assert len(owners) == 3
    assert read(write(joined), SAFE) == joined


def test_a_signature_that_does_not_fit_is_not_taken():
    (_, good) = sign(TOKENS, ADA, CHECK).signatures[0]
    assert with_signature(TOKENS, good).signatures
    for wrong in (good[:64], good[:64] + b"\x1d", good[:64] + b"\x00", b"\0" * 64 + b"\x1b", good + b"\0"):
        with pytest.raises(SafeSignatureInvalid):
            with_signature(TOKENS, wrong)
    with pytest.raises(SafeSignatureInvalid):
        with_signature(COINS, good)
    # A contract's (v = 0) or an approved hash's (v = 1) signature names an owner without any of his keys.
    for v in (0, 1, 31):
        with pytest.raises(SafeSignatureInvalid):
            with_signature(TOKENS, bytes.fromhex(PLAN.owners[0][2:]).rjust(32, b"\0") + bytes(32) + bytes([v]))


def test_signatures_for_another_transaction_are_not_combined():
    signed = sign(COINS, ADA, check_of(COINS.network, COINS.digest))
    with pytest.raises(SafeDraftsDiffer):
        combine([TOKENS, signed])


def test_too_few_owners_finish_nothing():
    one = sign(TOKENS, ADA, CHECK)
    for few in (TOKENS, one, combine([one, one])):
        with pytest.raises(SafeSignaturesMissing):
            finalise(few)
    enough = finalise(combine([one, sign(TOKENS, BO, CHECK), sign(TOKENS, CY, CHECK)]))
    assert enough[-96 - 32 - 32 : -96 - 32][-1] != 0  # the length word precedes two signatures, not three
    assert enough.count(one.signatures[0][1]) == 1


def test_the_evm_key_is_not_the_seed():
    secret = OfficerSecret(b"a" * 32, b"b" * 32)
    assert evm_key(secret) not in (secret.seed, secret.signing)
    assert PrivateKey(evm_key(secret)).public_key.format()
