"""The policy: a TOML document that officers sign m-of-n. What it does not limit does not load.

There is no default for a limit, no "unlimited", no switch that turns a rule off. Delays have floors here; only a policy
whose networks are all test networks may go below them.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from holdfast.core.canonical import Json
from holdfast.core.errors import BadInput
from holdfast.core.money import parse_units
from holdfast.core.networks import network_by_id
from holdfast.core.quorum import tagged
from holdfast.policy.limits import Limit

POLICY_TAG = b"holdfast policy 1\0"
POLICY_BYTES_MAX = 1_000_000
HOUSE_KINDS = ("flush", "forwarder-deployment", "gas-top-up", "cap-sweep", "consolidation", "nonce-cancel")
"""Every transaction that needs no merchant's intent."""
LIFETIME_SECONDS_MAX = 400 * 86_400
LOOSENING_SECONDS_MIN = 86_400
KEY_CHANGE_SECONDS_MIN = 3 * 86_400
RECOVERY_SECONDS_MIN = 14 * 86_400
AGEING_SECONDS_MIN = 86_400
RESTORE_SOAK_SECONDS_MIN = 600
LIMITED_DIVISOR_MIN = 2


class PolicyMalformed(BadInput):
    """The policy lacks a limit, or says something impossible. Complete what the detail names and sign it anew."""

    code = "policy-malformed"


class BucketWire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`{ burst = "1.5", per_day = "10" }`, in whole coins."""

    burst: str
    per_day: str


class DelaysWire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long what makes things looser must wait, in seconds."""

    loosening_seconds: int
    key_change_seconds: int
    recovery_seconds: int
    """After a veto: how long a quorum's decision waits where the recovery key is silent."""
    ageing_seconds: int
    """How long after its first confirmed payout a destination is `new`; how old an allow-listing must be to count in
    the first stage of a restore."""
    restore_soak_seconds: int
    """How long each stage of a restore lasts at the least."""


class ApprovalWire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Payouts above this amount need this many officers' signatures."""

    above: str
    count: int


class NetworkWire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of one network."""

    decimals: int
    """Of its coin."""
    confirmations: int
    """Before a deposit counts, and a payout is done."""
    fee_rate_max: int
    """Smallest units per 1,000 vbytes, or wei per gas."""
    fee_max: str
    """Most that one transaction may cost."""
    fees: BucketWire
    """All transactions together."""
    house: dict[str, BucketWire]
    """What each kind of house transaction may cost; a kind that is not here may not be made."""


class AssetWire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of one asset."""

    symbol: str
    decimals: int
    float_cap: str
    low_water: str
    payout_max: str
    unconfirmed_max: str
    """Most that is released and not yet final."""
    total: BucketWire
    merchant: BucketWire
    """Each merchant's, unless `merchants` says otherwise."""
    new: BucketWire
    """To destinations that are new, together."""
    aged: BucketWire
    listed: BucketWire
    approvals: tuple[ApprovalWire, ...] = ()
    flush_min: str = "0"
    """Least that a flush of one deposit address must bring (EVM), a multiple of its gas; 0: it is never flushed."""


class ListedWire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A destination that officers looked at. Every grant expires."""

    merchant: str
    network: str
    address: str
    expires_at: datetime


class PolicyWire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole document."""

    version: int
    expires_at: datetime
    intent_seconds_max: int
    delays: DelaysWire
    limited_divisor: int
    """What part of every limit is open until the last step of a restore."""
    networks: dict[str, NetworkWire]
    assets: dict[str, AssetWire]
    merchants: dict[str, dict[str, BucketWire]] = {}
    """Merchants' own limits by asset."""
    listed: tuple[ListedWire, ...] = ()


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """Limits of one network, in its coin's smallest units."""

    confirmations: int
    fee_rate_max: int
    fee_max_units: int
    fees: Limit
    house: dict[str, Limit]


@dataclass(frozen=True, slots=True)
class AssetPolicy:
    """Limits of one asset, in its smallest units."""

    symbol: str
    decimals: int
    float_cap_units: int
    low_water_units: int
    payout_max_units: int
    unconfirmed_max_units: int
    total: Limit
    merchant: Limit
    classes: dict[str, Limit]
    """`new`, `aged`, `listed`."""
    approvals: tuple[tuple[int, int], ...]
    """(above, officers), ascending."""
    flush_min_units: int

    def approvals_for(self, units: int) -> int:
        """How many officers must have signed a payout of this amount."""
        return max((count for above, count in self.approvals if units > above), default=0)


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that can be decided by."""

    version: int
    expires_at: int
    intent_seconds_max: int
    delays: DelaysWire
    limited_divisor: int
    networks: dict[str, NetworkPolicy]
    assets: dict[str, AssetPolicy]
    merchants: dict[tuple[str, str], Limit]
    listed: dict[tuple[str, str, str], int]
    """(merchant, network, address) and until when."""
    hash: str

    def merchant_limit(self, merchant: str, asset: str) -> Limit:
        """What this merchant may order of this asset. Raises `KeyError` for an asset that is not there."""
        return self.merchants.get((merchant, asset), self.assets[asset].merchant)


def signing_input(document: bytes) -> bytes:
    """What an officer's key signs for a policy."""
    return tagged(POLICY_TAG, document)


def read_policy(document: bytes) -> Policy:
    """The policy in a document, whoever signed it. Raises `PolicyMalformed`."""
    if len(document) > POLICY_BYTES_MAX:
        raise PolicyMalformed(f"{len(document)} bytes are more than {POLICY_BYTES_MAX}")
    try:
        content: Json = tomllib.loads(document.decode())
        wire = msgspec.convert(content, PolicyWire)
    except (ValueError, RecursionError) as error:
        raise PolicyMalformed(str(error)[:200]) from None
    try:
        return _policy(wire, hashlib.sha256(document).hexdigest())
    except BadInput as error:
        raise PolicyMalformed(error.detail if isinstance(error, PolicyMalformed) else str(error)[:200]) from None


def _policy(wire: PolicyWire, digest: str) -> Policy:
    _check(wire)
    assets = {name: _asset(wire, name, asset) for name, asset in wire.assets.items()}
    return Policy(
        version=wire.version,
        expires_at=int(wire.expires_at.timestamp()),
        intent_seconds_max=wire.intent_seconds_max,
        delays=wire.delays,
        limited_divisor=wire.limited_divisor,
        networks={name: _network(name, network) for name, network in wire.networks.items()},
        assets=assets,
        merchants={
            (merchant, asset): _limit(bucket, _known(assets, asset).decimals)
            for merchant, limits in wire.merchants.items()
            for asset, bucket in limits.items()
        },
        listed={(one.merchant, one.network, one.address): int(one.expires_at.timestamp()) for one in wire.listed},
        hash=digest,
    )


def _check(wire: PolicyWire) -> None:
    if wire.version < 1 or not wire.networks or not wire.assets or wire.intent_seconds_max < 60:
        raise PolicyMalformed("version, networks, assets and intent_seconds_max are needed")
    if any(one.tzinfo is None for one in (wire.expires_at, *(one.expires_at for one in wire.listed))):
        raise PolicyMalformed("a time needs its zone, as in 2030-01-01T00:00:00Z")
    floors = (
        ("loosening_seconds", wire.delays.loosening_seconds, LOOSENING_SECONDS_MIN),
        ("key_change_seconds", wire.delays.key_change_seconds, KEY_CHANGE_SECONDS_MIN),
        ("recovery_seconds", wire.delays.recovery_seconds, RECOVERY_SECONDS_MIN),
        ("ageing_seconds", wire.delays.ageing_seconds, AGEING_SECONDS_MIN),
        ("restore_soak_seconds", wire.delays.restore_soak_seconds, RESTORE_SOAK_SECONDS_MIN),
        ("limited_divisor", wire.limited_divisor - 1, LIMITED_DIVISOR_MIN - 1),
    )
    is_test = all(network_by_id(name).is_test for name in wire.networks)
    for name, value, floor in floors:
        if value < (0 if is_test else floor):
            raise PolicyMalformed(f"{name} is below its floor")


def _network(name: str, wire: NetworkWire) -> NetworkPolicy:
    unknown = set(wire.house) - set(HOUSE_KINDS)
    if wire.confirmations < 1 or wire.fee_rate_max < 1 or wire.decimals != network_by_id(name).coin.decimals or unknown:
        raise PolicyMalformed(f"{name}: confirmations, fee_rate_max, decimals or house {sorted(unknown)}")
    return NetworkPolicy(
        confirmations=wire.confirmations,
        fee_rate_max=wire.fee_rate_max,
        fee_max_units=parse_units(wire.fee_max, wire.decimals),
        fees=_limit(wire.fees, wire.decimals),
        house={kind: _limit(bucket, wire.decimals) for kind, bucket in wire.house.items()},
    )


def _asset(policy: PolicyWire, name: str, wire: AssetWire) -> AssetPolicy:
    if name.partition("/")[0] not in policy.networks or not 0 <= wire.decimals <= 36 or not wire.symbol.isprintable():
        raise PolicyMalformed(f"{name}: its network is not in the policy, or decimals or symbol are impossible")
    approvals = tuple((parse_units(one.above, wire.decimals), one.count) for one in wire.approvals)
    if any(count < 1 for _, count in approvals) or list(approvals) != sorted(set(approvals)):
        raise PolicyMalformed(f"{name}: approvals ascend, and each names at least one officer")
    return AssetPolicy(
        symbol=wire.symbol,
        decimals=wire.decimals,
        float_cap_units=parse_units(wire.float_cap, wire.decimals),
        low_water_units=parse_units(wire.low_water, wire.decimals),
        payout_max_units=parse_units(wire.payout_max, wire.decimals),
        unconfirmed_max_units=parse_units(wire.unconfirmed_max, wire.decimals),
        total=_limit(wire.total, wire.decimals),
        merchant=_limit(wire.merchant, wire.decimals),
        classes={
            "new": _limit(wire.new, wire.decimals),
            "aged": _limit(wire.aged, wire.decimals),
            "listed": _limit(wire.listed, wire.decimals),
        },
        approvals=approvals,
        flush_min_units=parse_units(wire.flush_min, wire.decimals),
    )


def _known(assets: dict[str, AssetPolicy], asset: str) -> AssetPolicy:
    if asset not in assets:
        raise PolicyMalformed(f"{asset[:80]} has a merchant's limit, but none of its own")
    return assets[asset]


def _limit(wire: BucketWire, decimals: int) -> Limit:
    return Limit(parse_units(wire.burst, decimals), parse_units(wire.per_day, decimals))


def loosenings(old: Policy, new: Policy) -> list[str]:
    """Everything in which `new` allows more than `old`, in words; empty: it may count at once."""
    found = [f"version {new.version} is not above {old.version}"] if new.version <= old.version else []
    found += [
        f"{name} is shorter"
        for name in DelaysWire.__struct_fields__
        if getattr(new.delays, name) < getattr(old.delays, name)
    ]
    found += ["a larger part of the limits in a restore"] if new.limited_divisor < old.limited_divisor else []
    found += ["intents may wait longer"] if new.intent_seconds_max > old.intent_seconds_max else []
    found += ["it expires later"] if new.expires_at > old.expires_at else []
    for name, network in new.networks.items():
        found += [f"{name}: {what}" for what in _network_loosenings(old.networks.get(name), network)]
    for name, asset in new.assets.items():
        found += [f"{name}: {what}" for what in _asset_loosenings(old.assets.get(name), asset)]
    for (merchant, name), limit in new.merchants.items():
        before = old.merchant_limit(merchant, name) if name in old.assets else None
        found += [f"{name}: limit of {merchant}"] if before is not None and _is_looser(before, limit) else []
    for merchant, name in old.merchants.keys() - new.merchants.keys():
        if name in new.assets and _is_looser(old.merchants[merchant, name], new.assets[name].merchant):
            found.append(f"{name}: limit of {merchant}")
    for key, until in new.listed.items():
        found += [f"listed: {' '.join(key)}"] if until > old.listed.get(key, 0) else []
    return found


def _network_loosenings(old: NetworkPolicy | None, new: NetworkPolicy) -> list[str]:
    if old is None:
        return ["is new"]
    facts = {
        "fewer confirmations": new.confirmations < old.confirmations,
        "a higher fee rate": new.fee_rate_max > old.fee_rate_max,
        "a higher fee": new.fee_max_units > old.fee_max_units,
        "fee budget": _is_looser(old.fees, new.fees),
    }
    for kind, limit in new.house.items():
        facts[f"house transactions: {kind}"] = kind not in old.house or _is_looser(old.house[kind], limit)
    return [what for what, is_looser in facts.items() if is_looser]


def _asset_loosenings(old: AssetPolicy | None, new: AssetPolicy) -> list[str]:
    if old is None:
        return ["is new"]
    facts = {
        "decimals": new.decimals != old.decimals,
        "a higher float cap": new.float_cap_units > old.float_cap_units,
        "larger payouts": new.payout_max_units > old.payout_max_units,
        "more unconfirmed": new.unconfirmed_max_units > old.unconfirmed_max_units,
        "smaller flushes": 0 < new.flush_min_units < (old.flush_min_units or new.flush_min_units + 1),
        "limit in total": _is_looser(old.total, new.total),
        "limit of each merchant": _is_looser(old.merchant, new.merchant),
        "fewer approvals": any(
            new.approvals_for(above + 1) < old.approvals_for(above + 1) for above, _ in (*old.approvals, *new.approvals)
        ),
    }
    for name, limit in new.classes.items():
        facts[f"limit to {name} destinations"] = _is_looser(old.classes[name], limit)
    return [what for what, is_looser in facts.items() if is_looser]


def _is_looser(old: Limit, new: Limit) -> bool:
    return new.burst_units > old.burst_units or new.per_day_units > old.per_day_units


def time_text(seconds: int) -> str:
    """A moment as people read it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
