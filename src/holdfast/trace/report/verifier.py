"""The second program: reads a report's bundle and derives every figure anew, by Python's own library alone.

Run it as `python verifier.py BUNDLE`, on any machine. It shares no code with what made the report: it hashes the files
itself, adds up itself, follows first-in-first-out itself where money stayed one asset, and names whatever differs.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
import zipfile
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

POLICIES = ("fifo", "haircut", "least", "most")
UNLISTED = {"manifest.json", "manifest.tsr"}
HUBS = {"input", "output", "fee"}
_TABLE_PLACES, _CENTS, _PRICE_PLACES = 6, 2, 18
Json = Any
"""What a JSON file holds; each use says what it expects."""


class Checked:
    """What was compared, and what differed."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.faults: list[str] = []
        self.counts: Counter[str] = Counter()

    def same(self, what: str, derived: object, stated: object) -> None:
        """Counts one comparison, and keeps it where it differs."""
        self.counts[what.partition(" ")[0]] += 1
        if derived != stated:
            self.faults.append(f"{what}: derived {str(derived)[:90]}, the report says {str(stated)[:90]}")

    def holds(self, what: str, *, is_so: bool) -> None:
        """Counts one thing that must be so, and keeps it where it is not."""
        self.same(what, is_so, stated=True)


def verify(files: Mapping[str, bytes]) -> Checked:
    """Everything about a bundle's files. Faults are in the result; a file that is no JSON is one too."""
    checked = Checked()
    try:
        _manifest(files, checked)
        trace, report = _json(files, "trace.json"), _json(files, "report.json")
        transfers = [json.loads(line) for line in files["transfers.jsonl"].splitlines() if line]
        _evidence(files, trace, checked)
        _steps(trace, transfers, checked)
        _conserved(trace, checked)
        _followed_again(trace, transfers, checked)
        _figures(files, trace, report, checked)
        _tables(files, trace, report, checked)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        checked.faults.append(f"the bundle cannot be read to its end: {type(error).__name__} {error}")
    return checked


def _json(files: Mapping[str, bytes], name: str) -> Json:
    return json.loads(files[name])


def _manifest(files: Mapping[str, bytes], checked: Checked) -> None:
    listed = {one["path"]: one for one in _json(files, "manifest.json")["files"]}
    for path, one in sorted(listed.items()):
        data = files.get(path)
        checked.same(f"file {path}", hashlib.sha256(data).hexdigest() if data is not None else "missing", one["sha256"])
    for path in sorted(set(files) - set(listed) - UNLISTED):
        checked.faults.append(f"file {path}: the manifest does not list it")


def _evidence(files: Mapping[str, bytes], trace: Json, checked: Checked) -> None:
    known = {one["id"]: one["sha256"] for one in _json(files, "evidence.json")}
    for name, digest in known.items():
        checked.same(f"evidence {name}", hashlib.sha256(files.get(f"evidence/{name}", b"")).hexdigest(), digest)
    for step in trace["steps"]:
        for name in filter(None, step["transfer"].get("evidence", "").split(",")):
            if name not in known:
                checked.faults.append(f"step {step['id']}: its evidence {name} is not in the bundle")


def _steps(trace: Json, transfers: list[Json], checked: Checked) -> None:
    """Each theft and step is one of the transfers that were read, figure by figure; none carries more than moved."""
    stored = {json.dumps(one, sort_keys=True) for one in transfers}
    for name, moved in [("theft", one) for one in trace["thefts"]] + [
        (f"step {one['id']}", one["transfer"]) for one in trace["steps"]
    ]:
        checked.holds(f"transfer {name} was read", is_so=json.dumps(moved, sort_keys=True) in stored)
    for step in trace["steps"]:
        carried, units = step["carried"], step["transfer"]["units"]
        checked.holds(f"step {step['id']} carries no more than moved", is_so=max(carried.values(), default=0) <= units)


def _conserved(trace: Json, checked: Checked) -> None:
    """By asset and policy: stolen + all that came out of swaps and bridges = all ends + all that went in."""
    for policy in POLICIES:
        came, went = Counter[str](), Counter[str]()
        for theft in trace["thefts"]:
            came[theft["asset"]] += theft["units"]
        for crossing in trace["crossings"]:
            for asset, sums in crossing["got"].items():
                came[asset] += sums.get(policy, 0)
            for asset, sums in crossing["gave"].items():
                went[asset] += sums.get(policy, 0)
        for end in trace["ends"]:
            went[end["asset"]] += end["lies"].get(policy, 0)
        for asset in sorted(set(came) | set(went)):
            checked.same(f"conservation of {asset} by {policy}", went[asset], came[asset])


def _followed_again(trace: Json, transfers: list[Json], checked: Checked) -> None:
    """First in, first out, in plain Python, for assets that crossed nothing and are held by accounts."""
    crossed = {asset for one in trace["crossings"] for side in ("gave", "got") for asset in one[side]}
    special = {one["transfer"]["asset"] for one in trace["steps"] if _is_special(one)}
    steps = {_key(one["transfer"]): one for one in trace["steps"]}
    thefts = {_key(one) for one in trace["thefts"]}
    stops = {(one["network"], one["address"], one["asset"]) for one in trace["ends"] if one["kind"] == "service"}
    assets = {one["asset"] for one in trace["thefts"]} - crossed - special
    for asset in sorted(assets):
        rows = sorted((one for one in transfers if one["asset"] == asset),
                      key=lambda one: (one["time"], one["height"], one["order"]))  # fmt: skip
        carried = _first_in_first_out(rows, thefts, set(steps), stops)
        for key, step in steps.items():
            if step["transfer"]["asset"] == asset:
                checked.same(f"fifo of step {step['id']}", carried.get(key, 0), step["carried"].get("fifo", 0))


def _is_special(step: Json) -> bool:
    """Not plain money from account to account: a hub of the Bitcoin family, a candidate, a person's decision."""
    return step["transfer"].get("movement", "coin") in HUBS or step["of"] > 1 or step["reason"] == "overruled"


def _key(moved: Json) -> tuple[object, ...]:
    return moved["network"], moved["height"], moved["order"], moved["transaction"]


def _first_in_first_out(
    rows: Iterable[Json],
    thefts: set[tuple[object, ...]],
    steps: set[tuple[object, ...]],
    stops: set[tuple[str, str, str]],
) -> dict[tuple[object, ...], int]:
    """By row: how much of the theft it carried. What is not among the steps was cut off, and goes on clean."""
    queues: dict[tuple[str, str], deque[list[int]]] = defaultdict(deque)
    carried: dict[tuple[object, ...], int] = {}
    for row in rows:
        key, left, parcels = _key(row), row["units"], []
        queue = queues[row["network"], row["source"]]
        while left and queue:
            units, dirty = queue[0]
            taken = min(units, left)
            parcels.append([taken, dirty])
            left -= taken
            if taken == units:
                queue.popleft()
            else:
                queue[0][0] -= taken
        if left:
            parcels.append([left, 0])
        if key in thefts:
            parcels = [[row["units"], 1]]
        elif key not in steps:
            parcels = [[units, 0] for units, _ in parcels]
        carried[key] = sum(units for units, dirty in parcels if dirty)
        if (row["network"], row["target"], row["asset"]) not in stops:
            queues[row["network"], row["target"]].extend(parcels)
    return carried


def _figures(  # noqa: C901  one loop a kind of figure
    files: Mapping[str, bytes], trace: Json, report: Json, checked: Checked
) -> None:
    """The list of numbers, each added up anew."""
    found: Counter[str] = Counter(thefts=len(trace["thefts"]), steps=len(trace["steps"]), ends=len(trace["ends"]))
    assets = {one["asset"]: one for one in _json(files, "assets.json")}
    prices = _json(files, "prices.json")["by_asset"]
    for theft in trace["thefts"]:
        found[f"stolen/{theft['asset']}"] += theft["units"]
        worth = _worth(theft, assets, prices)
        if worth is not None:
            found[f"worth/{theft['asset']}"] += worth
    for step in trace["steps"]:
        for policy, units in step["carried"].items():
            found[f"hop/{step['hop']}/{step['transfer']['asset']}/{policy}"] += units
    rows = list(csv.DictReader(io.StringIO(files["ends.csv"].decode())))
    for row in rows:
        for policy in POLICIES:
            found[f"class/{row['class']}/{row['asset']}/{policy}"] += int(row[policy])
            found[f"lies/{row['asset']}/{policy}"] += int(row[policy])
    for number, row in _requested(files):
        for policy in POLICIES:
            found[f"request/{number}/{row['asset']}/{policy}"] += int(row[f"units_{policy}"])
    stated = {name: int(value) for name, value in report["figures"].items() if not name.endswith("/poison")}
    derived = {name: value for name, value in found.items() if not name.endswith("/poison")}
    for name in sorted(set(stated) | set(derived)):
        checked.same(f"figure {name}", derived.get(name, 0), stated.get(name, 0))


def _worth(theft: Json, assets: Mapping[str, Json], prices: Mapping[str, Json]) -> int | None:
    known = [price for price in prices.get(theft["asset"], []) if price[0] <= theft["time"]]
    if not known or theft["time"] - known[-1][0] > 86_400 or theft["asset"] not in assets:
        return None
    places = assets[theft["asset"]]["decimals"] + _PRICE_PLACES - _CENTS
    return int(theft["units"] * known[-1][1] // 10**places)


def _requested(files: Mapping[str, bytes]) -> Iterable[tuple[str, dict[str, str]]]:
    for path in sorted(files):
        if path.startswith("requests/") and path.endswith(".csv"):
            for row in csv.DictReader(io.StringIO(files[path].decode())):
                yield row["request"], row


def _tables(files: Mapping[str, bytes], trace: Json, report: Json, checked: Checked) -> None:
    """Files for people against the data: each step, each end, each address of a request, each amount of the summary."""
    flow = {row["step"]: row for row in csv.DictReader(io.StringIO(files["flow.csv"].decode()))}
    checked.same("flow.csv has every step", sorted(flow), sorted(one["id"] for one in trace["steps"]))
    for step in trace["steps"]:
        row, moved = flow.get(step["id"], {}), step["transfer"]
        stated = [row.get(name) for name in ("transaction", "source", "target", "asset", "units", *POLICIES)]
        derived = [moved["transaction"], moved["source"], moved["target"], moved["asset"], str(moved["units"])]
        checked.same(f"flow {step['id']}", derived + [str(step["carried"].get(one, 0)) for one in POLICIES], stated)
    rows = list(csv.DictReader(io.StringIO(files["ends.csv"].decode())))
    told = Counter((row["network"], row["address"], row["asset"], *(row[one] for one in POLICIES)) for row in rows)
    lies = Counter((end["network"], end["address"], end["asset"], *(str(end["lies"].get(one, 0)) for one in POLICIES))
                   for end in trace["ends"])  # fmt: skip
    checked.same("ends.csv has every end", told, lies)
    by_number = {row["end"]: row for row in rows}
    for number, row in _requested(files):
        end = by_number[row["end"]]
        stated = [row["network"], row["address"], row["asset"], *(row[f"units_{one}"] for one in POLICIES)]
        derived = [end["network"], end["address"], end["asset"], *(end[one] for one in POLICIES)]
        checked.same(f"request {number} {row['end']}", derived, stated)
    names = {one["asset"]: one for one in _json(files, "assets.json")}
    for row in report["amounts"]:
        stolen = sum(one["units"] for one in trace["thefts"] if one["asset"] == row["asset"])
        checked.same(f"amount of {row['asset']}", str(stolen), row["units"])
        if row["asset"] in names:
            checked.same(f"amount of {row['asset']} in words", _in_words(stolen, names[row["asset"]]), row["text"])


def _in_words(units: int, name: Json) -> str:
    whole, part = divmod(units, 10 ** name["decimals"])
    places = str(part).rjust(name["decimals"], "0").rstrip("0") if name["decimals"] else ""
    return f"{whole:,}{'.' + places if places else ''} {name['symbol']}"


def read_bundle(place: Path) -> dict[str, bytes]:
    """The files of a bundle, a folder or a zip file. Raises `OSError`, `zipfile.BadZipFile`."""
    if place.is_dir():
        return {one.relative_to(place).as_posix(): one.read_bytes() for one in place.rglob("*") if one.is_file()}
    with zipfile.ZipFile(place) as packed:
        return {name: packed.read(name) for name in packed.namelist() if not name.endswith("/")}


def main(words: list[str]) -> int:
    """Exit status 0: nothing differs; 1: something does; 2: it could not be read."""
    if len(words) != 1:
        sys.stderr.write("usage: verifier.py BUNDLE\n")
        return 2
    try:
        checked = verify(read_bundle(Path(words[0])))
    except (OSError, zipfile.BadZipFile) as error:
        sys.stderr.write(f"cannot read {words[0]}: {error}\n")
        return 2
    lines = [*checked.faults, *(f"{count} {what} compared" for what, count in sorted(checked.counts.items()))]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if checked.faults else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
