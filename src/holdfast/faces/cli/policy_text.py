"""A policy to begin with, written out: every limit there is, with words beside it. Officers change it before they sign.

For test networks the delays are short and the limits wide; for all others they stand at their floors, and low.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from holdfast.core.money import Asset
from holdfast.core.networks import BitcoinNetwork, Network

HEAD = """\
# The policy: what the signer may sign without asking anybody. Officers sign these very bytes, m of n.
# What has no limit here does not load. Tightening counts at once; loosening waits.
# Amounts are whole coins; a limit is what may go out at once (burst) and how fast that refills (per_day).
version = 1
expires_at = {expires_at:%Y-%m-%dT%H:%M:%SZ}
intent_seconds_max = 604800            # how long a payout may wait
limited_divisor = 10                   # after a freeze, until the last step back: a tenth of every limit

[delays]                               # seconds
loosening_seconds = {loosening}              # before a looser policy counts
key_change_seconds = {key_change}            # before a merchant's new key counts
recovery_seconds = {recovery}             # after a veto, before the quorum's decision counts
ageing_seconds = {ageing}                 # how long a destination is new
restore_soak_seconds = {soak}           # how long each step of a restore lasts at the least
"""
NETWORK = """
[networks."{id}"]                      # {name}
decimals = {decimals}
confirmations = {confirmations}
fee_rate_max = {fee_rate_max}          # {fee_unit}
fee_max = "{fee_max}"                  # most that one transaction may cost
fees = {{ burst = "{fees}", per_day = "{fees}" }}
[networks."{id}".house]                # what needs no merchant: each kind with a budget of its own
{house}
"""
ASSET = """
[assets."{id}"]
symbol = "{symbol}"
decimals = {decimals}
float_cap = "{cap}"                    # the most that the company is ready to lose
low_water = "{low}"
payout_max = "{payout}"
unconfirmed_max = "{unconfirmed}"      # released and not yet final
total = {{ burst = "{total}", per_day = "{total}" }}
merchant = {{ burst = "{merchant}", per_day = "{merchant}" }}
new = {{ burst = "{new}", per_day = "{new}" }}
aged = {{ burst = "{merchant}", per_day = "{merchant}" }}
listed = {{ burst = "{total}", per_day = "{total}" }}
approvals = [{{ above = "{approval}", count = 1 }}]
{flush}"""
HOUSE = {
    True: {"cap-sweep": "0.1", "consolidation": "0.1"},
    False: {"flush": "0.5", "gas-top-up": "2", "cap-sweep": "0.5"},
}
"""What needs no merchant's intent, by whether the network is of the Bitcoin family, and what each kind may cost."""
CAPS = {"rLTC": 1_000, "LTC": 100, "BTC": 1, "DOGE": 50_000, "ETH": 20, "USDT": 20_000}
"""Whole coins, to begin with."""
CAP_DEFAULT = 1_000
FLUSH_MIN = {"ETH": "0.001", "USDT": "2"}
"""Least that a flush brings: some ten times what it costs when blocks are not full."""


def policy_text(networks: Sequence[tuple[Network, Sequence[Asset]]], expires_at: datetime) -> str:
    """The document's text for these networks and what may be paid out on them."""
    is_test = all(network.is_test for network, _ in networks)
    delays = (60, 60, 120, 60, 10) if is_test else (86_400, 259_200, 1_209_600, 86_400, 3_600)
    names = ("loosening", "key_change", "recovery", "ageing", "soak")
    parts = [HEAD.format(expires_at=expires_at, **dict(zip(names, delays, strict=True)))]
    for network, assets in networks:
        parts.append(_network(network))
        parts += [_asset(asset) for asset in assets]
    return "".join(parts)


def _network(network: Network) -> str:
    is_bitcoin = isinstance(network, BitcoinNetwork)
    facts = {
        "fee_rate_max": 500_000 if is_bitcoin else 500_000_000_000,
        "fee_unit": "smallest units per 1,000 vbytes" if is_bitcoin else "wei per gas",
        "fee_max": "0.05" if is_bitcoin else "1",
        "fees": "0.5" if is_bitcoin else "4",
        "confirmations": 1 if network.is_test else 6 if is_bitcoin else 64,
    }
    budgets = HOUSE[is_bitcoin]
    house = "\n".join(f'"{kind}" = {{ burst = "{most}", per_day = "{most}" }}' for kind, most in budgets.items())
    return NETWORK.format(id=network.id, name=network.name, decimals=network.coin.decimals, house=house, **facts)


def _asset(asset: Asset) -> str:
    cap = CAPS.get(asset.symbol, CAP_DEFAULT)

    def part(percent: int) -> str:
        whole, rest = divmod(cap * percent, 100)
        return f"{whole}.{rest:02d}"

    return ASSET.format(
        id=asset.id, symbol=asset.symbol, decimals=asset.decimals, cap=part(100), low=part(20), payout=part(20),
        flush="" if asset.id.startswith("bip122") else f'flush_min = "{FLUSH_MIN.get(asset.symbol, "1")}"\n',
        unconfirmed=part(60), total=part(40), merchant=part(30), new=part(30), approval=part(15),
    )  # fmt: skip
