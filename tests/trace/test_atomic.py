"""A real theft whose every edge was verified by hand, replayed from its sources in 100,000 transfers of noise."""

from pathlib import Path

import pytest

from fixtures_real_data import RealData
from holdfast.faces.bench.trace_heist import HeistUnusable, read_heist
from holdfast.faces.bench.trace_noise import Town
from holdfast.faces.bench.trace_replay import GOAL_PERCENT, GOAL_TIMES, Replay, feeds_in, replay

NOISE_ROWS = 100_000


@pytest.mark.slow
def test_a_theft_in_noise_is_found_with_its_value_and_its_ends(tmp_path: Path, real_data: RealData) -> None:
    found = replay(Replay(str(real_data.atomic), NOISE_ROWS, feeds_in(real_data.directory)), tmp_path)
    assert found["noise_transfers"] >= NOISE_ROWS  # type: ignore[operator]  figures of a report are objects
    assert found["edges_found_percent"] >= GOAL_PERCENT  # type: ignore[operator]  figures of a report are objects
    assert found["value_found_percent"] >= GOAL_PERCENT  # type: ignore[operator]  figures of a report are objects
    assert found["returned_times_true"] <= GOAL_TIMES  # type: ignore[operator]  figures of a report are objects
    assert (found["ends"], found["ends_reached"]) == (101, 101)


async def test_the_town_adds_nothing_to_what_left_a_thiefs_wallet(tmp_path: Path, real_data: RealData) -> None:
    heist = await read_heist(real_data.atomic)
    rows = tmp_path / "transfers.csv"
    town = Town(heist, 5_000, seed=1)
    noise = town.write(rows)
    lines = [line.split(",") for line in rows.read_text().splitlines()[1:]]
    assert len(lines) == noise + len(heist.transfers)
    assert lines == sorted(lines, key=lambda line: int(line[1]))
    true = {(each.transaction, each.source, each.target, str(each.units)) for each in heist.transfers}
    written = [(line[3], line[4], line[5], line[7]) for line in lines]
    assert true <= set(written)
    passing = {each for each in town.names if each not in heist.ends and town._passes(each)}
    wallets = {each.source for each in heist.transfers} - heist.ends - passing
    assert all(row in true for row in written if row[1] in wallets)


async def test_the_same_seed_makes_the_same_town_and_another_another(tmp_path: Path, real_data: RealData) -> None:
    heist = await read_heist(real_data.atomic)
    texts = []
    for number, seed in enumerate((1, 1, 2)):
        Town(heist, 2_000, seed=seed).write(tmp_path / str(number))
        texts.append((tmp_path / str(number)).read_bytes())
    assert texts[0] == texts[1] != texts[2]


async def test_a_csv_alone_begins_where_nothing_came_in_and_ends_where_nothing_went_on(tmp_path: Path) -> None:
    rows = [("a", "b", 5), ("b", "c", 3), ("b", "d", 2)]
    accounts = {name: "0x" + name * 40 for name in "abcd"}
    lines = [f"0x{at:064x},{1_690_000_000 + at},{accounts[s]},{accounts[t]},{u}" for at, (s, t, u) in enumerate(rows)]
    path = tmp_path / "theft.csv"
    path.write_text("\n".join(["tx_hash,timestamp,from,to,value", *lines]) + "\n")
    heist = await read_heist(path)
    assert {each.lower() for each in heist.sources} == {accounts["a"]}
    assert {each.lower() for each in heist.ends} == {accounts["c"], accounts["d"]}
    assert len(heist.ahead) == 3


async def test_true_edges_without_times_or_on_other_networks_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "theft.csv"
    path.write_text("tx_hash,from,to,value\n0x" + "1" * 64 + ",0x" + "a" * 40 + ",0x" + "b" * 40 + ",1\n")
    with pytest.raises(HeistUnusable):
        await read_heist(path)
