"""Compiled passes over ordered transfers, one a taint policy. Exact: what comes in goes out, stays, or is cut.

Shared shape: a row that is a theft brings taint into the world, all of its amount. Any other row moves what its policy
says of the taint that lies at its source. Taint that has come to a stop (a service) lies there. A move below `least`
units is cut: counted, not followed. An address that sends more than it is known to have had earlier money: clean.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from holdfast.trace.wide import ONE, ZERO, add, is_less, share, subtract

POISON, HAIRCUT, MOST, LEAST = 0, 1, 2, 3
_NONE = np.int32(-1)


@njit
def _grown(column):
    more = np.empty(max(1024, 2 * len(column)), column.dtype)
    more[: len(column)] = column
    return more


@njit(cache=True)
def proportion(source, target, low, high, thefts, stops, sizes, policy):
    """All policies that need only two sums a node: how much lies there, and how much of it is tainted.

    `sizes`: nodes, and `least` as two words. Rows, high and low of what moved; high and low of what lies; what was cut.
    """
    nodes, least_h, least_l = np.int64(sizes[0]), sizes[1], sizes[2]
    lies_h, lies_l = np.zeros(nodes, np.uint64), np.zeros(nodes, np.uint64)
    taint_h, taint_l = np.zeros(nodes, np.uint64), np.zeros(nodes, np.uint64)
    rows, moved_h, moved_l = np.empty(1024, np.int64), np.empty(1024, np.uint64), np.empty(1024, np.uint64)
    found, at, cut_h, cut_l = 0, 0, ZERO, ZERO
    is_wide = len(high) > 0
    for row in range(len(source)):
        f, t = source[row], target[row]
        ah, al = (high[row] if is_wide else ZERO), low[row]
        th, tl, bh, bl = taint_h[f], taint_l[f], lies_h[f], lies_l[f]
        is_theft = at < len(thefts) and thefts[at] == row
        mh, ml = ZERO, ZERO
        if is_theft:
            at += 1
            mh, ml = ah, al
        elif (th != ZERO or tl != ZERO) and not stops[f]:
            if policy == POISON:
                mh, ml = ah, al
            elif not is_less(ah, al, bh, bl):
                mh, ml = th, tl
            elif policy == HAIRCUT:
                mh, ml = share(th, tl, ah, al, bh, bl)
            elif policy == MOST:
                mh, ml = (th, tl) if is_less(th, tl, ah, al) else (ah, al)
            else:
                ch, cl = subtract(bh, bl, th, tl)
                if is_less(ch, cl, ah, al):
                    mh, ml = subtract(ah, al, ch, cl)
        if not stops[f]:
            if is_less(ah, al, bh, bl):
                lies_h[f], lies_l[f] = subtract(bh, bl, ah, al)
            else:
                lies_h[f], lies_l[f] = ZERO, ZERO
            if policy != POISON and not is_theft:
                taint_h[f], taint_l[f] = subtract(th, tl, mh, ml)
            elif policy != POISON and is_less(lies_h[f], lies_l[f], th, tl):  # what was stolen before is stolen anew
                xh, xl = subtract(th, tl, lies_h[f], lies_l[f])
                cut_h, cut_l = add(cut_h, cut_l, xh, xl)
                taint_h[f], taint_l[f] = lies_h[f], lies_l[f]
        lies_h[t], lies_l[t] = add(lies_h[t], lies_l[t], ah, al)
        if mh == ZERO and ml == ZERO:
            continue
        if is_less(mh, ml, least_h, least_l) and not is_theft:
            cut_h, cut_l = add(cut_h, cut_l, mh, ml)
            continue
        if policy == POISON:
            taint_l[t] = ONE
        else:
            taint_h[t], taint_l[t] = add(taint_h[t], taint_l[t], mh, ml)
        if found == len(rows):
            rows, moved_h, moved_l = _grown(rows), _grown(moved_h), _grown(moved_l)
        rows[found], moved_h[found], moved_l[found] = row, mh, ml
        found += 1
    return rows[:found], moved_h[:found], moved_l[:found], taint_h, taint_l, cut_h, cut_l


@njit(cache=True)
def first_in_first_out(source, target, low, high, thefts, stops, sizes):
    """What came first leaves first (Clayton's Case, 1816): a queue of parcels at each node, each clean or tainted.

    Arguments and results are those of `proportion`. Never more parcels than transfers: each adds one at the most.
    """
    nodes, least_h, least_l = np.int64(sizes[0]), sizes[1], sizes[2]
    is_wide = len(high) > 0
    most = len(source) + 1
    parcel_h = np.empty(most if is_wide else 1, np.uint64)
    parcel_l, is_dirty, behind = np.empty(most, np.uint64), np.empty(most, np.bool_), np.empty(most, np.int32)
    first, last = np.full(nodes, _NONE, np.int32), np.full(nodes, _NONE, np.int32)
    taint_h, taint_l = np.zeros(nodes, np.uint64), np.zeros(nodes, np.uint64)
    rows, moved_h, moved_l = np.empty(1024, np.int64), np.empty(1024, np.uint64), np.empty(1024, np.uint64)
    found, at, cut_h, cut_l = 0, 0, ZERO, ZERO
    used, free = np.int32(0), _NONE
    for row in range(len(source)):
        f, t = source[row], target[row]
        nh, nl = (high[row] if is_wide else ZERO), low[row]
        is_theft = at < len(thefts) and thefts[at] == row
        at += 1 if is_theft else 0
        mh, ml = ZERO, ZERO
        while nh != ZERO or nl != ZERO:
            here = first[f]
            ph, pl, is_taken_dirty = nh, nl, is_theft
            if here != _NONE and not stops[f]:
                hh = parcel_h[here] if is_wide else ZERO
                hl = parcel_l[here]
                is_taken_dirty = is_dirty[here] or is_theft
                if is_less(nh, nl, hh, hl):
                    rh, parcel_l[here] = subtract(hh, hl, nh, nl)
                    if is_wide:
                        parcel_h[here] = rh
                else:
                    ph, pl = hh, hl
                    first[f] = behind[here]
                    if first[f] == _NONE:
                        last[f] = _NONE
                    behind[here], free = free, here
                if is_dirty[here]:
                    taint_h[f], taint_l[f] = subtract(taint_h[f], taint_l[f], ph, pl)
                    if is_theft:  # money that was stolen before is stolen anew
                        cut_h, cut_l = add(cut_h, cut_l, ph, pl)
            nh, nl = subtract(nh, nl, ph, pl)
            if is_taken_dirty:
                if is_less(ph, pl, least_h, least_l) and not is_theft:
                    cut_h, cut_l = add(cut_h, cut_l, ph, pl)
                    is_taken_dirty = False
                else:
                    mh, ml = add(mh, ml, ph, pl)
            if stops[t]:
                continue
            end = last[t]
            if end != _NONE and is_dirty[end] == is_taken_dirty:
                sh, sl = add(parcel_h[end] if is_wide else ZERO, parcel_l[end], ph, pl)
                if is_wide:
                    parcel_h[end] = sh
                if is_wide or sh == ZERO:  # else one word does not hold both: they stay two parcels
                    parcel_l[end] = sl
                    continue
            if free != _NONE:
                new = free
                free = behind[free]
            else:
                new = used
                used += np.int32(1)
            if is_wide:
                parcel_h[new] = ph
            parcel_l[new], is_dirty[new], behind[new] = pl, is_taken_dirty, _NONE
            if end == _NONE:
                first[t] = new
            else:
                behind[end] = new
            last[t] = new
        if mh == ZERO and ml == ZERO:
            continue
        taint_h[t], taint_l[t] = add(taint_h[t], taint_l[t], mh, ml)
        if found == len(rows):
            rows, moved_h, moved_l = _grown(rows), _grown(moved_h), _grown(moved_l)
        rows[found], moved_h[found], moved_l[found] = row, mh, ml
        found += 1
    return rows[:found], moved_h[:found], moved_l[:found], taint_h, taint_l, cut_h, cut_l


@njit(cache=True)
def together(left, right, nodes):
    """Union-find with halved paths: for each node the smallest node of its cluster."""
    parent = np.arange(nodes, dtype=np.int32)
    for edge in range(len(left)):
        a, b = left[edge], right[edge]
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        while parent[b] != b:
            parent[b] = parent[parent[b]]
            b = parent[b]
        if a < b:
            parent[b] = a
        elif b < a:
            parent[a] = b
    for node in range(nodes):  # a parent is never above its child
        parent[node] = parent[parent[node]]
    return parent


@njit(cache=True)
def index_of(source, nodes):
    """Rows by their source: `rows[starts[n]:starts[n + 1]]` are those of node n, in order."""
    starts = np.zeros(nodes + 1, np.int64)
    for row in range(len(source)):
        starts[source[row] + 1] += 1
    for node in range(nodes):
        starts[node + 1] += starts[node]
    place, rows = starts[:-1].copy(), np.empty(len(source), np.int32)
    for row in range(len(source)):
        node = source[row]
        rows[place[node]] = row
        place[node] += 1
    return starts, rows


@njit(cache=True)
def within(starts, rows, target, begin, hops):
    """Rows that can be reached from the rows `begin` forwards in time, hop by hop; the hop of each beside it."""
    earliest = np.full(len(starts) - 1, np.int64(2**62), np.int64)
    wave, found, hop_of = np.empty(0, np.int64), list(begin), [0] * len(begin)
    is_found = np.zeros(len(target), np.bool_)
    for row in begin:
        is_found[row] = True
        earliest[target[row]] = min(earliest[target[row]], row)
    wave = np.unique(target[begin])
    for hop in range(1, hops + 1):
        next_wave = [np.int32(0)][:0]
        for node in wave:
            for place in range(starts[node + 1] - 1, starts[node] - 1, -1):
                row = rows[place]
                if row < earliest[node]:
                    break
                if is_found[row]:
                    continue
                is_found[row] = True
                found.append(row)
                hop_of.append(hop)
                if row < earliest[target[row]]:
                    earliest[target[row]] = row
                    next_wave.append(target[row])
        if len(next_wave) == 0:
            break
        wave = np.unique(np.array(next_wave, dtype=np.int32))
    return np.array(found), np.array(hop_of)
