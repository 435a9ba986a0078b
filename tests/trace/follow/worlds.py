"""Small worlds for tests of following: transfers in a few words, and names of a few services."""

from collections import defaultdict
from collections.abc import Sequence

from holdfast.trace.model import FEES, End, EndKind, Label, LabelKind, Movement, Trace, Transfer

ETHEREUM = "eip155:1"
BITCOIN = "bip122:000000000019d6689c085ae165831e93"
ETH = f"{ETHEREUM}/slip44:60"
BTC = f"{BITCOIN}/slip44:0"
SHARES = ("haircut", "fifo", "most", "least")


def token(contract: str, network: str = ETHEREUM) -> str:
    return f"{network}/erc20:{contract}"


class World:
    """Writes transfers down one after the other, a block each unless told otherwise."""

    def __init__(self) -> None:
        self.rows: list[Transfer] = []
        self.height = 0

    def pay(self, source: str, target: str, units: int, **more: object) -> Transfer:
        """A transaction of one transfer."""
        return self.transaction((source, target, units, str(more.pop("asset", ETH))), **more)[0]

    def transaction(
        self, *moves: tuple[str, str, int, str], network: str = ETHEREUM, id_: str = "", time: int = 0, memo: str = ""
    ) -> list[Transfer]:
        """One transaction of several transfers between accounts."""
        self.height += 1
        rows = [
            Transfer(network, self.height, order, time or self.height * 12, id_ or f"t{self.height}", source, target,
                     asset, units, Movement.COIN if "slip44" in asset else Movement.TOKEN,
                     memo=memo if not order else "")
            for order, (source, target, units, asset) in enumerate(moves)
        ]  # fmt: skip
        self.rows += rows
        return rows

    def spend(
        self, inputs: Sequence[tuple[str, str, int]], outputs: Sequence[tuple[str, int]], *, id_: str = "",
        time: int = 0, memo: str = "", network: str = BITCOIN,
    ) -> list[Transfer]:  # fmt: skip
        """One transaction of the Bitcoin family: (outpoint, address, units) in, (address, units) out, the rest fee."""
        self.height += 1
        name, at = id_ or f"t{self.height}", time or self.height * 12
        asset = f"{network}/slip44:0"
        rows = [
            Transfer(network, self.height, order, at, name, address, name, asset, units, Movement.INPUT, outpoint)
            for order, (outpoint, address, units) in enumerate(inputs)
        ]
        rows += [
            Transfer(network, self.height, len(inputs) + vout, at, name, name, address, asset, units, Movement.OUTPUT,
                     f"{name}:{vout}", memo=memo if not vout else "")
            for vout, (address, units) in enumerate(outputs)
        ]  # fmt: skip
        fee = sum(units for _, _, units in inputs) - sum(units for _, units in outputs)
        if inputs and fee:
            rows.append(Transfer(network, self.height, len(rows), at, name, name, FEES, asset, fee, Movement.FEE))
        self.rows += rows
        return rows


class Known:
    """Names of these addresses, on every network and at all times."""

    def __init__(self, **kinds: LabelKind) -> None:
        self.kinds = kinds

    def labels(self, network: str, address: str, at: int) -> Sequence[Label]:
        kind = self.kinds.get(address)
        return [] if kind is None else [Label(network, address, address.title(), kind, "this test", 90, 0)]

    def service(self, network: str, address: str, at: int) -> Label | None:
        found = self.labels(network, address, at)
        return found[0] if found and found[0].kind.is_service else None


NOBODY = Known()


def lies(trace: Trace, address: str, policy: str = "haircut") -> int:
    return sum(end.lies[policy] for end in trace.ends if end.address == address)


def kinds(trace: Trace) -> dict[str, EndKind]:
    return {end.address: end.kind for end in trace.ends}


def end_at(trace: Trace, address: str) -> End:
    return next(end for end in trace.ends if end.address == address)


def balances(trace: Trace) -> dict[tuple[str, str], int]:
    """By asset and policy: stolen and got, less given and all ends; nothing anywhere if a trace is exact."""
    left: dict[tuple[str, str], int] = defaultdict(int)
    for policy in SHARES:
        for theft in trace.thefts:
            left[theft.asset, policy] += theft.units
        for crossing in trace.crossings:
            for asset, carried in crossing.got.items():
                left[asset, policy] += carried[policy]
            for asset, carried in crossing.gave.items():
                left[asset, policy] -= carried[policy]
        for end in trace.ends:
            left[end.asset, policy] -= end.lies.get(policy, 0)
    return {key: units for key, units in left.items() if units}
