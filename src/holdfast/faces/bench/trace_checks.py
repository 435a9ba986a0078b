"""What must not be believed: fake tokens of a real theft, links that only services make, labels that a feed invents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.core.evm import checksum, keccak256
from holdfast.trace.follow.engine import follow
from holdfast.trace.labels.admission import weigh
from holdfast.trace.labels.book import Book
from holdfast.trace.labels.feeds import Reading, read_bytes
from holdfast.trace.labels.public_contracts import public_contracts
from holdfast.trace.link.compare import compare
from holdfast.trace.link.incident import Incident
from holdfast.trace.link.words import Verdict
from holdfast.trace.model import Label, LabelKind, Movement, Transfer
from holdfast.trace.reading import ListedTransfers, place
from holdfast.trace.sources.files import FileSource
from holdfast.trace.sources.mapping import FileMapping
from holdfast.trace.sources.port import LeftOut, Wanted

NETWORK = "eip155:1"
ETHER = f"{NETWORK}/slip44:60"
_NOON, _COIN, _DAY = 1_690_000_000, 10**18, 86_400
_PAYER = "0x1111111111111111111111111111111111111112"
"""The file of fake tokens leaves out its one payer."""
_STRANGERS = 150
_PAIRS = 10
_TOLD_AT = 1_760_000_000
_INVENTED = "Invented thief"


async def poison(path: Path) -> dict[str, object]:
    """A real hop of the Bybit theft: fake tokens refused, and what is left by asset, to the unit."""
    source = FileSource(path, FileMapping(constants={"source": _PAYER}))
    sums: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    async for batch in source.pull(Wanted(), ""):
        left_out.update(batch.left_out)
        for each in batch.transfers:
            sums[each.asset] += each.units
    goals = {
        f"{NETWORK}/erc20:0xae7ab96520de3a18e5e111b5eaab095312d7fe84": 90_375_547_917_680_000_000_000,
        f"{NETWORK}/erc20:0xd5f7838f5c461feff7fe49ea5ebaf7728bb0adfa": 8_000 * _COIN,
        ETHER: 98_048_894_800_000_000_000_000,
    }
    return {
        "refused": left_out[LeftOut.IMITATION],
        "goal_refused": 11,
        "units": {asset: str(units) for asset, units in sorted(sums.items())},
        "units_are_exact": dict(sums) == goals,
    }


@dataclass(slots=True)
class _Stage:
    """Two thefts in one store. Names are accounts."""

    number: int
    rows: list[Transfer]
    labels: list[Label]

    def account(self, name: str) -> str:
        return checksum(keccak256(f"{self.number} {name}".encode())[-20:])

    def pay(self, source: str, target: str, units: int, day: int = 0) -> Transfer:
        order = len(self.rows) + 1
        time = _NOON + day * _DAY + order * 60
        transaction = "0x" + keccak256(f"{self.number} {order}".encode()).hex()
        ends = (self.account(source), self.account(target))
        row = Transfer(NETWORK, time // 12, order, time, transaction, *ends, ETHER, units, Movement.COIN)
        self.rows.append(row)
        return row

    def label(self, name: str, kind: LabelKind) -> None:
        self.labels.append(Label(NETWORK, self.account(name), name, kind, "planted", 90, _NOON))

    def verdict(self, thefts: Sequence[Transfer]) -> Verdict:
        store, book = ListedTransfers(self.rows), Book(self.labels)
        one, other = (
            Incident(f"case {number}", follow(store, book, [theft]), store, book)
            for number, theft in enumerate(sorted(thefts, key=place))
        )
        return compare(one, other).verdict


def _two_thefts(stage: _Stage) -> list[Transfer]:
    """Two thefts, forty days apart, each of three hops."""
    thefts = []
    for who, day in (("red", 0), ("blue", 40)):
        thefts.append(stage.pay(f"{who} victim", f"{who} 1", 100 * _COIN, day))
        stage.pay(f"{who} 1", f"{who} 2", 60 * _COIN, day)
        stage.pay(f"{who} 1", f"{who} 3", 39 * _COIN, day)
    return thefts


def _direct(stage: _Stage) -> None:
    stage.pay("red 3", "blue 1", 3 * _COIN, 41)


def _met(stage: _Stage) -> None:
    stage.pay("red 2", "purse", 59 * _COIN, 50)
    stage.pay("blue 2", "purse", 59 * _COIN, 51)


def _same_deposit(stage: _Stage) -> None:
    stage.label("exchange", LabelKind.EXCHANGE)
    for who, day in (("red 3", 50), ("blue 3", 60)):
        stage.pay(who, "deposit", 30 * _COIN, day)
        stage.pay("deposit", "exchange", 30 * _COIN - 10**15, day)


def _labelled(kind: LabelKind) -> Callable[[_Stage], None]:
    def pay(stage: _Stage) -> None:
        stage.label("service", kind)
        for who, day in (("red 3", 50), ("blue 3", 60)):
            stage.pay(who, "service", 30 * _COIN, day)
        for number in range(_STRANGERS):
            stage.pay(f"customer {number}", "service", 5 * _COIN, 45)

    return pay


def _unlabelled(stage: _Stage) -> None:
    for number in range(_STRANGERS):
        stage.pay(f"customer {number}", "service", 5 * _COIN, 45)
    for who, day in (("red 3", 50), ("blue 3", 60)):
        stage.pay(who, "service", 30 * _COIN, day)
        stage.pay("service", f"stranger {day}", 9 * _COIN, day + 1)


PLANTED: dict[str, Callable[[_Stage], None]] = {"direct": _direct, "met": _met, "same_deposit_address": _same_deposit}
UNREAL: dict[str, Callable[[_Stage], None]] = {
    "labelled_exchange": _labelled(LabelKind.EXCHANGE),
    "labelled_bridge": _labelled(LabelKind.BRIDGE),
    "labelled_mixer": _labelled(LabelKind.MIXER),
    "unlabelled_service": _unlabelled,
    "nothing_shared": lambda _: None,
}


def links() -> dict[str, object]:
    """Planted links that were found, and links that were made through services only; the traces are the tracer's."""
    found = {name: _times(plant, Verdict.LINKED) for name, plant in PLANTED.items()}
    made = {name: _times(plant, Verdict.LINKED) for name, plant in UNREAL.items()}
    likened = {name: _times(plant, Verdict.SIMILAR) for name, plant in UNREAL.items()}
    return {
        "planted_each": _PAIRS, "planted_found": found, "through_services_linked": made,
        "through_services_likened": likened, "goal_found_each": _PAIRS, "goal_through_services": 0,
    }  # fmt: skip


def _times(plant: Callable[[_Stage], None], verdict: Verdict) -> int:
    count = 0
    for number in range(_PAIRS):
        stage = _Stage(number, [], [])
        thefts = _two_thefts(stage)
        plant(stage)
        count += stage.verdict(thefts) is verdict
    return count


def admission() -> dict[str, object]:
    """A feed in which most is invented, weighed against published contracts and a list that somebody vouches for."""
    honest = [checksum(keccak256(f"honest {number}".encode())[-20:]) for number in range(20)]
    thief = checksum(keccak256(b"a thief that a vouched list names")[-20:])
    planted = {
        "checksum_broken": [_recased(address) for address in honest],
        "malformed": [address[:-2] for address in honest],
        "placeholder": [f"0x{number:040x}" for number in range(10)] + ["0x" + 40 * each for each in "123456789a"],
        "look_alike": [
            checksum(bytes.fromhex(thief[2:34].lower()) + keccak256(bytes([number]))[:4]) for number in range(20)
        ],
        "service": [label.address for label in public_contracts().labels if label.network == NETWORK][:20],
    }
    wrong = {address: why for why, addresses in planted.items() for address in addresses}
    lines = "\n".join(f"{NETWORK},{address},{_INVENTED},theft" for address in [*wrong, *honest])
    feed = read_bytes(f"network,address,name,category\n{lines}\n".encode(), ".csv", Reading("planted", _TOLD_AT))
    listed = f"network,address,name,category\n{NETWORK},{thief},A thief,theft\n".encode()
    vouched = read_bytes(listed, ".csv", Reading("vouched", _TOLD_AT, ceiling=90))
    claims = weigh((public_contracts(), vouched, feed)).admitted
    admitted = {label.address for label in claims if label.name == _INVENTED}
    return {
        "planted": {why: len(addresses) for why, addresses in planted.items()},
        "admitted_of_planted": {why: len(admitted.intersection(addresses)) for why, addresses in planted.items()},
        "goal_admitted_of_planted": 0,
        "honest": len(honest),
        "honest_admitted": len(admitted & set(honest)),
    }


def _recased(address: str) -> str:
    """The same digits in other capitals than their checksum has."""
    return "0x" + "".join(char.lower() if char.isupper() else char.upper() for char in address[2:])
