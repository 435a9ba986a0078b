"""Unsigned 128-bit numbers as pairs of 64-bit words, for compiled loops: amounts in smallest units, never rounded.

One ether is 10^18 wei, so that a machine word ends at 18 ether. `high, low` is the order everywhere. Results that do
not fit wrap around: callers keep sums below 2^127, which no asset's supply reaches (larger tokens are not admitted).
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

ZERO, ONE = np.uint64(0), np.uint64(1)
_WORD = 18446744073709551616.0  # 2^64
_HALF = np.uint64(2**63)
WORD_BITS = 64


@intrinsic
def _product_high(typingctx, x, y):
    """The upper 64 bits of a product."""

    def codegen(context, builder, signature, args):
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), codegen


@njit(inline="always")
def add(ah, al, bh, bl):
    """a + b."""
    low = al + bl
    return ah + bh + (ONE if low < al else ZERO), low


@njit(inline="always")
def subtract(ah, al, bh, bl):
    """a - b, for b up to a."""
    return ah - bh - (ONE if al < bl else ZERO), al - bl


@njit(inline="always")
def is_less(ah, al, bh, bl):
    """a < b."""
    return ah < bh or (ah == bh and al < bl)


@njit(inline="always")
def as_float(high, low):
    """About the number."""
    return float(high) * _WORD + float(low)


@njit
def _product(ah, al, bh, bl):
    """a * b in four words, the highest first."""
    p0 = al * bl
    c0 = _product_high(al, bl)
    m1, m1h = al * bh, _product_high(al, bh)
    m2, m2h = ah * bl, _product_high(ah, bl)
    p1 = c0 + m1
    carry = ONE if p1 < m1 else ZERO
    p1 += m2
    carry += ONE if p1 < m2 else ZERO
    top, toph = ah * bh, _product_high(ah, bh)
    p2 = top + carry
    c2 = ONE if p2 < carry else ZERO
    p2 += m1h
    c2 += ONE if p2 < m1h else ZERO
    p2 += m2h
    c2 += ONE if p2 < m2h else ZERO
    return toph + c2, p2, p1, p0


@njit(inline="always")
def _share_of_words(t, a, b):
    """The same where all fit into one word: most amounts do."""
    n1, n0 = _product_high(t, a), t * a
    estimate = np.uint64(float(t) * (float(a) / float(b)))
    while True:
        m1, m0 = _product_high(estimate, b), estimate * b
        if is_less(n1, n0, m1, m0):
            dh, dl = subtract(m1, m0, n1, n0)
            estimate -= max(ONE, np.uint64(as_float(dh, dl) / float(b)))
        else:
            dh, dl = subtract(n1, n0, m1, m0)
            if dh == ZERO and dl < b:
                return estimate
            estimate += max(ONE, np.uint64(as_float(dh, dl) / float(b)))


@njit
def share(th, tl, ah, al, bh, bl):
    """floor(t * a / b) for t and a up to b, all below 2^127: exact, by an estimate that is corrected until right."""
    if bh == ZERO and bl < _HALF:
        return ZERO, _share_of_words(tl, al, bl)
    return _share(th, tl, ah, al, bh, bl)


@njit
def _share(th, tl, ah, al, bh, bl):
    n3, n2, n1, n0 = _product(th, tl, ah, al)
    divisor = as_float(bh, bl)
    estimate = as_float(th, tl) * (as_float(ah, al) / divisor)
    qh = np.uint64(estimate / _WORD)
    ql = np.uint64(estimate - float(qh) * _WORD)
    while True:
        m3, m2, m1, m0 = _product(qh, ql, bh, bl)
        is_above = (m3, m2, m1, m0) > (n3, n2, n1, n0)
        if is_above:
            x3, x2, x1, x0, y3, y2, y1, y0 = m3, m2, m1, m0, n3, n2, n1, n0
        else:
            x3, x2, x1, x0, y3, y2, y1, y0 = n3, n2, n1, n0, m3, m2, m1, m0
        d0 = x0 - y0
        borrow = ONE if x0 < y0 else ZERO
        d1 = x1 - y1 - borrow
        borrow = ONE if x1 < y1 or (x1 == y1 and borrow == ONE) else ZERO
        d2 = x2 - y2 - borrow
        borrow = ONE if x2 < y2 or (x2 == y2 and borrow == ONE) else ZERO
        d3 = x3 - y3 - borrow
        is_small = d3 == ZERO and d2 == ZERO
        if not is_above and is_small and is_less(d1, d0, bh, bl):
            return qh, ql
        steps = (as_float(d3, d2) * _WORD * _WORD + as_float(d1, d0)) / divisor
        if is_above:  # one too many at the least
            sh = np.uint64(steps / _WORD)
            sl = np.uint64(steps - float(sh) * _WORD)
            if sh == ZERO and sl == ZERO:
                sl = ONE
            qh, ql = subtract(qh, ql, sh, sl)
        else:
            sh = np.uint64(steps / _WORD)
            sl = np.uint64(steps - float(sh) * _WORD)
            if sh == ZERO and sl == ZERO:
                sl = ONE
            qh, ql = add(qh, ql, sh, sl)
