"""The float on EVM networks, as bytes: where its contract stands, what it is told, what that may cost and its events.

The contract is `contracts/Float.sol`. Nothing here holds a key or asks a node, so whoever checks a payout computes
what the signer computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.core.errors import BadInput
from holdfast.core.evm import CREATE2_DEPLOYER, address_bytes, checksum, create2, keccak256
from holdfast.core.evm_transactions import Fees

COIN = "0x0000000000000000000000000000000000000000"
"""How our contracts' calls and events name the network's own coin."""

LINES_MAX = 500
"""Lines that one call may have; how many of them fit into one transaction is `lines_max`."""

TRANSACTION_GAS_MAX = 2**24
"""EIP-7825: no network that has it takes a transaction with a higher limit."""

RECEIVED_TOPIC = "0x" + keccak256(b"Received(address,uint256)").hex()
"""Coin arrived: topic 1 from whom, data the units."""
UNPAID_TOPIC = "0x" + keccak256(b"Unpaid(uint256,uint256)").hex()
"""A line was not paid: see `read_unpaid`."""
RETURNED_TOPIC = "0x" + keccak256(b"Returned(address,uint256)").hex()
"""Units left for the vault: topic 1 the token, data the units."""

_ERC20 = "erc20:"
_PAY = keccak256(b"pay(address,uint256[])")[:4]
_TO_VAULT = keccak256(b"toVault(address,uint256)")[:4]
_UNITS_MAX = 2**96 - 1
_RESERVED = 2**16  # addresses below are precompiles on every network: coin sent there is gone

# Gas, each bound proved by a test that does the worst on a real node. A line of coin: 512 for call data, 2,600 for a
# cold account and as much for the code it delegates to (EIP-7702), 9,000 for value, and the 30,000 that the contract
# gives a destination (a new account takes 25,000 instead, and runs no code), 1,300 to say `Unpaid`. A line of tokens:
# 120,000 instead of all that. `left`: what the contract wants to have left before the last line.
_START_GAS = 40_000
_TO_VAULT_GAS = 400_000


@dataclass(frozen=True, slots=True)
class _LineGas:
    each: int
    left: int


_COIN_GAS = _LineGas(each=50_000, left=82_000)
_TOKEN_GAS = _LineGas(each=125_000, left=173_000)


class FloatCallInvalid(BadInput):
    """These lines cannot be paid by one call of the float. Give 1 to 500 lines, each units to an account."""

    code = "float-call-invalid"


@dataclass(frozen=True, slots=True)
class PayCall:
    """What one call of the float pays: (address, units) of one token, `COIN` for the network's own coin."""

    token: str
    lines: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Unpaid:
    """A line that the float could not pay: its number in the call, from 0, and what it said."""

    index: int
    address: str
    units: int


@dataclass(frozen=True, slots=True)
class FeeLevel:
    """What a network asks per gas now, in wei: the next block's base fee, and the tip that gets a transaction in."""

    base_fee_wei: int
    priority_fee_wei: int


def float_address(owner: str, vault: str, code: bytes) -> str:
    """Where the float of this owner and vault stands on every network: CREATE2 by `CREATE2_DEPLOYER`, salt 0.

    `code`: creation code of `Float`, without its arguments. Raises as `parse_address`.
    """
    return checksum(create2(address_bytes(CREATE2_DEPLOYER), bytes(32), keccak256(float_init_code(owner, vault, code))))


def float_init_code(owner: str, vault: str, code: bytes) -> bytes:
    """Creation code of a float with its arguments. Raises as `parse_address`."""
    return code + _address_word(owner) + _address_word(vault)


def token_of(asset: str) -> str:
    """The token contract of an asset (CAIP-19), `COIN` for the network's own coin."""
    reference = asset.partition("/")[2]
    return checksum(bytes.fromhex(reference.removeprefix(_ERC20)[2:])) if reference.startswith(_ERC20) else COIN


def pay_call(token: str, lines: Sequence[tuple[str, int]]) -> bytes:
    """Call data that pays these (address, units) in this token, or `COIN`. Raises `FloatCallInvalid`, `EvmAddress…`."""
    if not 1 <= len(lines) <= LINES_MAX:
        raise FloatCallInvalid(f"{len(lines)} lines")
    words = b"".join(_line(address, units) for address, units in lines)
    return _PAY + _address_word(token) + _word(64) + _word(len(lines)) + words


def is_payable(address: str, units: int) -> bool:
    """Whether a line can say this: units that it has room for, to an account rather than a precompile."""
    return 1 <= units <= _UNITS_MAX and int.from_bytes(address_bytes(address), "big") >= _RESERVED


def decode_pay_call(data: bytes) -> PayCall:
    """What call data of `pay` says; only the bytes that `pay_call` makes are taken. Raises `FloatCallInvalid`."""
    lines = tuple(_read_line(data[at : at + 32]) for at in range(100, len(data), 32))
    call = PayCall(checksum(data[16:36].rjust(20, b"\0")), lines)
    if pay_call(call.token, lines) != data:
        raise FloatCallInvalid("not the call data that these lines have")
    return call


def to_vault_call(token: str, units: int) -> bytes:
    """Call data that sends units of this token, or `COIN`, to the vault. Raises `EvmAddress…`."""
    return _TO_VAULT + _address_word(token) + _word(units)


def read_unpaid(data: bytes) -> Unpaid:
    """The data of a log whose first topic is `UNPAID_TOPIC`."""
    address, units = _read_line(data[32:])
    return Unpaid(int.from_bytes(data[:32], "big"), address, units)


def gas_limit(*, is_coin: bool, lines: int) -> int:
    """Gas that a `pay` of so many lines can need at the very most, whatever destinations and token do.

    What is not used is not paid, but OWNER's account must hold it. Raises `FloatCallInvalid` above `lines_max`.
    """
    if not 1 <= lines <= lines_max(is_coin=is_coin):
        raise FloatCallInvalid(f"{lines} lines in one transaction")
    return _gas(_COIN_GAS if is_coin else _TOKEN_GAS, lines)


def lines_max(*, is_coin: bool) -> int:
    """How many lines fit into one transaction, all at their worst (`TRANSACTION_GAS_MAX`)."""
    line = _COIN_GAS if is_coin else _TOKEN_GAS
    return min(LINES_MAX, (TRANSACTION_GAS_MAX - _gas(line, 0)) // line.each)


def to_vault_gas_limit() -> int:
    """Gas that a `toVault` may take."""
    return _TO_VAULT_GAS


def fees_at(level: FeeLevel) -> Fees:
    """Fees of a new transaction: room for the base fee to double (six full blocks), and the tip of now."""
    return Fees(2 * level.base_fee_wei + level.priority_fee_wei, level.priority_fee_wei)


def replace_fees(old: Fees, now: FeeLevel) -> Fees:
    """Fees with which nodes take a transaction instead of one with the same nonce: both at least 12.5 % higher.

    Geth asks for 10 %, others 12.5 %; rounded up, and never the same.
    """
    new = fees_at(now)
    tip = max(_raised(old.max_priority_fee_wei), new.max_priority_fee_wei)
    return Fees(max(_raised(old.max_fee_wei), 2 * now.base_fee_wei + tip), tip)


def bump(old: Fees, level: FeeLevel, cap_wei: int) -> Fees | None:
    """The fees with which a waiting transaction is to be replaced; None where it is to be left alone.

    It is left alone while it still pays a block's maker the tip of now, and where the least that nodes take for a
    replacement exceeds the cap on the fee per gas.
    """
    if min(old.max_priority_fee_wei, old.max_fee_wei - level.base_fee_wei) >= level.priority_fee_wei:
        return None
    wanted = replace_fees(old, level)
    fees = Fees(min(wanted.max_fee_wei, cap_wei), min(wanted.max_priority_fee_wei, cap_wei))
    is_enough = fees.max_fee_wei >= _raised(old.max_fee_wei)
    return fees if is_enough and fees.max_priority_fee_wei >= _raised(old.max_priority_fee_wei) else None


def _raised(fee: int) -> int:
    return max(fee + 1, (fee * 9 + 7) // 8)


def _gas(line: _LineGas, lines: int) -> int:
    return _START_GAS + line.left + line.each * lines


def _line(address: str, units: int) -> bytes:
    if not is_payable(address, units):
        raise FloatCallInvalid(f"{units} units to {address}")
    return address_bytes(address) + units.to_bytes(12, "big")


def _read_line(word: bytes) -> tuple[str, int]:
    return checksum(word[:20].rjust(20, b"\0")), int.from_bytes(word[20:], "big")


def _address_word(address: str) -> bytes:
    return address_bytes(address).rjust(32, b"\0")


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")
