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


@njit
def _grown(column):
    more = np.empty(max(1024, 2 * len(column)), column.dtype)
    more[: len(column)] = column
    return more


# What the proportional policies know of a node, side by side so that a look at it is one line of the cache: what lies
# there (upper, lower word), how much of it is tainted (upper, lower word).
_LIES_H, _LIES_L, _TAINT_H, _TAINT_L, _PURSE = 0, 1, 2, 3, 4


@njit(inline="always")
def _carried(purses, f, ah, al, policy):
    """What a transfer of these units takes of the taint that lies at its source."""
    bh, bl, th, tl = purses[f + _LIES_H], purses[f + _LIES_L], purses[f + _TAINT_H], purses[f + _TAINT_L]
    mh, ml = ZERO, ZERO
    if th == ZERO and tl == ZERO:
        return mh, ml
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
    return mh, ml


@njit(cache=True)
def proportion(source, target, low, high, thefts, stops, sizes, purses, policy):
    """All policies that need only two sums a node: how much lies there, and how much of it is tainted.

    `sizes`: nodes, and `least` as two words. `purses`: four zeros a node. Rows, high and low of what moved; high and
    low of what lies; what was cut.
    """
    least_h, least_l = sizes[1], sizes[2]
    rows, moved_h, moved_l = np.empty(1024, np.int64), np.empty(1024, np.uint64), np.empty(1024, np.uint64)
    found, at, cut_h, cut_l = 0, 0, ZERO, ZERO
    is_wide = len(high) > 0
    for row in range(len(source)):
        is_stop = stops[source[row]]
        f, t = _PURSE * np.int64(source[row]), _PURSE * np.int64(target[row])
        ah, al = (high[row] if is_wide else ZERO), low[row]
        is_theft = at < len(thefts) and thefts[at] == row
        mh, ml = ZERO, ZERO
        if is_theft:
            at += 1
            mh, ml = ah, al
        elif not is_stop:
            mh, ml = _carried(purses, f, ah, al, policy)
        if not is_stop:
            bh, bl = purses[f + _LIES_H], purses[f + _LIES_L]
            lh, ll = ZERO, ZERO
            if is_less(ah, al, bh, bl):
                lh, ll = subtract(bh, bl, ah, al)
            purses[f + _LIES_H], purses[f + _LIES_L] = lh, ll
            th, tl = purses[f + _TAINT_H], purses[f + _TAINT_L]
            if policy != POISON and not is_theft:
                purses[f + _TAINT_H], purses[f + _TAINT_L] = subtract(th, tl, mh, ml)
            elif policy != POISON and is_less(lh, ll, th, tl):  # what was stolen before is stolen anew
                xh, xl = subtract(th, tl, lh, ll)
                cut_h, cut_l = add(cut_h, cut_l, xh, xl)
                purses[f + _TAINT_H], purses[f + _TAINT_L] = lh, ll
        purses[t + _LIES_H], purses[t + _LIES_L] = add(purses[t + _LIES_H], purses[t + _LIES_L], ah, al)
        if mh == ZERO and ml == ZERO:
            continue
        if is_less(mh, ml, least_h, least_l) and not is_theft:
            cut_h, cut_l = add(cut_h, cut_l, mh, ml)
            continue
        if policy == POISON:
            purses[t + _TAINT_L] = ONE
        else:
            purses[t + _TAINT_H], purses[t + _TAINT_L] = add(purses[t + _TAINT_H], purses[t + _TAINT_L], mh, ml)
        if found == len(rows):
            rows, moved_h, moved_l = _grown(rows), _grown(moved_h), _grown(moved_l)
        rows[found], moved_h[found], moved_l[found] = row, mh, ml
        found += 1
    lies_h, lies_l = purses[_TAINT_H::_PURSE].copy(), purses[_TAINT_L::_PURSE].copy()
    return rows[:found], moved_h[:found], moved_l[:found], lies_h, lies_l, cut_h, cut_l


# A parcel is two or three words in a row: its lower units, twice the place of the parcel behind it (plus one if it is
# tainted), its upper units if there are any. Place 0 is none. The ends of a queue are its first and its last place;
# after those of all nodes stand the first place that is free again, and the last that was ever used.
_LOW, _LINK, _HIGH = 0, 1, 2


@njit(inline="always")
def _take(ends, parcels, width, node, nh, nl):
    """The first parcel of a node's queue, or of it what is asked for: its units, and whether they are tainted."""
    here = ends[2 * node]
    at = width * np.int64(here)
    hh = np.uint64(parcels[at + _HIGH]) if width > _HIGH else ZERO
    hl, link = np.uint64(parcels[at]), parcels[at + _LINK]
    if is_less(nh, nl, hh, hl):
        rh, rl = subtract(hh, hl, nh, nl)
        parcels[at] = np.int64(rl)
        if width > _HIGH:
            parcels[at + _HIGH] = np.int64(rh)
        return nh, nl, link & 1 == 1
    ends[2 * node] = link >> 1
    if link >> 1 == 0:
        ends[2 * node + 1] = 0
    parcels[at + _LINK] = 2 * np.int64(ends[-2])
    ends[-2] = here
    return hh, hl, link & 1 == 1


@njit(inline="always")
def _put(ends, parcels, width, node, ph, pl, is_dirty):
    """Units to the end of a node's queue: into its last parcel if that is of their kind and holds them."""
    end = ends[2 * node + 1]
    at = width * np.int64(end)
    if end != 0 and (parcels[at + _LINK] & 1 == 1) == is_dirty:
        eh = np.uint64(parcels[at + _HIGH]) if width > _HIGH else ZERO
        sh, sl = add(eh, np.uint64(parcels[at]), ph, pl)
        if width > _HIGH:
            parcels[at + _HIGH] = np.int64(sh)
        if width > _HIGH or sh == ZERO:  # else one word does not hold both: they stay two parcels
            parcels[at] = np.int64(sl)
            return
    new = np.int64(ends[-2])
    if new != 0:
        ends[-2] = parcels[width * new + _LINK] >> 1
    else:
        new = np.int64(ends[-1]) + 1
        ends[-1] = new
    if end == 0:
        ends[2 * node] = new
    else:
        parcels[at + _LINK] |= 2 * new
    ends[2 * node + 1] = new
    at = width * new
    parcels[at], parcels[at + _LINK] = np.int64(pl), np.int64(is_dirty)
    if width > _HIGH:
        parcels[at + _HIGH] = np.int64(ph)


@njit
def _held(ends, parcels, width, node):
    """All that lies in a node's queue."""
    sh, sl, here = ZERO, ZERO, np.int64(ends[2 * node])
    while here != 0:
        at = width * here
        sh, sl = add(sh, sl, np.uint64(parcels[at + _HIGH]) if width > _HIGH else ZERO, np.uint64(parcels[at]))
        here = parcels[at + _LINK] >> 1
    return sh, sl


@njit(cache=True)
def first_in_first_out(source, target, low, high, thefts, stops, sizes, ends, parcels):
    """What came first leaves first (Clayton's Case, 1816): a queue of parcels at each node, each clean or tainted.

    Arguments and results are those of `proportion`, and room: `ends` of zeros, two a node and two more; `parcels` of
    two words a transfer (three where amounts are wide) and two transfers more. Each adds one parcel at the most.
    """
    nodes, least_h, least_l = np.int64(sizes[0]), sizes[1], sizes[2]
    is_wide = len(high) > 0
    width = 3 if is_wide else 2
    taint_h, taint_l = np.zeros(nodes, np.uint64), np.zeros(nodes, np.uint64)
    rows, moved_h, moved_l = np.empty(1024, np.int64), np.empty(1024, np.uint64), np.empty(1024, np.uint64)
    found, at, cut_h, cut_l = 0, 0, ZERO, ZERO
    for row in range(len(source)):
        f, t = source[row], target[row]
        nh, nl = (high[row] if is_wide else ZERO), low[row]
        is_theft = at < len(thefts) and thefts[at] == row
        at += 1 if is_theft else 0
        mh, ml = ZERO, ZERO
        oh, ol = nh, nl  # at the most from what lay there: who pays himself must not take twice what he just put
        if f == t and not stops[f]:
            hh, hl = _held(ends, parcels, width, f)
            oh, ol = (hh, hl) if is_less(hh, hl, nh, nl) else (nh, nl)
        while nh != ZERO or nl != ZERO:
            ph, pl, is_taken_dirty = nh, nl, is_theft
            if ends[2 * f] != 0 and not stops[f] and (oh != ZERO or ol != ZERO):
                ph, pl, was_dirty = _take(ends, parcels, width, f, oh, ol)
                oh, ol = subtract(oh, ol, ph, pl)
                is_taken_dirty = was_dirty or is_theft
                if was_dirty:
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
            if not stops[t]:
                _put(ends, parcels, width, t, ph, pl, is_taken_dirty)
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
def within(starts, rows, targets, begin, hops, stops):
    """Rows that can be reached forwards in time, hop by hop, and the hop of each beside it.

    `starts`, `rows`: of `index_of`; `targets`: those of `rows`. `begin`: nodes, and the rows that brought it there.
    A node is visited again only if an earlier row is found to have reached it, and then only for what is new.
    """
    nodes, never = len(starts) - 1, np.int32(2**31 - 1)
    brought = np.zeros(nodes, np.int32)  # by node: `never` less the earliest row; 0: not reached. Costs what is touched
    emitted, queued = np.zeros(nodes, np.int32), np.zeros(nodes, np.uint8)  # of its last rows; the hop it waits for
    found, hop_of = np.empty(1024, np.int32), np.empty(1024, np.uint8)
    count, wave, wave_rows = 0, begin[0].astype(np.int32), begin[1].astype(np.int32)
    for hop in range(1, hops + 1):
        ahead, waiting = np.empty(1024, np.int32), 0
        for at in range(len(wave)):
            node, row = wave[at], wave_rows[at]
            end = starts[node + 1] - emitted[node]
            low, high = starts[node], end
            while low < high:
                middle = (low + high) >> 1
                if rows[middle] <= row:
                    low = middle + 1
                else:
                    high = middle
            for place in range(low, end):
                if count == len(found):
                    found, hop_of = _grown(found), _grown(hop_of)
                found[count], hop_of[count] = rows[place], hop
                count += 1
                to, early = targets[place], never - rows[place]
                if stops[to] or early <= brought[to]:
                    continue
                brought[to] = early
                if queued[to] != hop:
                    queued[to] = hop
                    if waiting == len(ahead):
                        ahead = _grown(ahead)
                    ahead[waiting] = to
                    waiting += 1
            emitted[node] = max(emitted[node], starts[node + 1] - low)
        wave = ahead[:waiting]
        wave_rows = never - brought[wave]
    return found[:count], hop_of[:count]
