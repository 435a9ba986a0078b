"""Ids of ours: a prefix that says what it is, then a ULID, so that ids sort by the time they were made.

48 bits of milliseconds and 80 random bits, in Crockford's base 32, lower case. Pure: time and randomness are arguments.
"""

from __future__ import annotations

ENTROPY_BYTES = 10
TIME_MS_MAX = 2**48 - 1

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 26
# Two digits at a time: half the work of one.
_PAIRS = tuple(high + low for high in _ALPHABET for low in _ALPHABET)


def new_id(prefix: str, now_ms: int, entropy: bytes) -> str:
    """An id like `inv_01k9x…`. `now_ms`: milliseconds since 1970; `entropy`: `ENTROPY_BYTES` random bytes."""
    assert 0 <= now_ms <= TIME_MS_MAX  # noqa: S101  a clock beyond the year 10000 is a bug
    assert len(entropy) == ENTROPY_BYTES  # noqa: S101  a caller's bug
    number = now_ms << 80 | int.from_bytes(entropy, "big")
    pairs = [_PAIRS[number >> shift & 1023] for shift in range(_LENGTH * 5 - 10, -1, -10)]
    return f"{prefix}_{''.join(pairs)}"
