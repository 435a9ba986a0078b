"""The store of transfers: exact, without doubles, and whole after any crash."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from holdfast.trace import store as store_module
from holdfast.trace.flows import UNITS_MAX
from holdfast.trace.model import Movement, Transfer
from holdfast.trace.reading import ListedTransfers
from holdfast.trace.store import AssetNotStored, Fresh, Store
from holdfast.trace.store_parts import Parts, StoreBusy, TransferImpossible
from holdfast.trace.taint import Policy, spread

ETHEREUM, OTHER = "eip155:1", "eip155:56"
ETHER = f"{ETHEREUM}/slip44:60"


def transfer(number: int, **changes: object) -> Transfer:
    """One of many, all different."""
    facts: dict[str, object] = {
        "network": ETHEREUM, "height": 100 + number // 4, "order": number % 4, "time": 1_000 + number // 4,
        "transaction": f"0x{number:064x}", "source": f"0xa{number % 7}", "target": f"0xb{number % 5}", "asset": ETHER,
        "units": 10**18 + number,
    }  # fmt: skip
    return Transfer(**{**facts, **changes})  # type: ignore[arg-type]  # by the model's own names


def many(count: int) -> list[Transfer]:
    return [transfer(number) for number in range(count)]


@given(st.lists(st.integers(0, UNITS_MAX - 1), min_size=1, max_size=40))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_amount_comes_back_to_the_unit(tmp_path_factory: pytest.TempPathFactory, amounts: list[int]) -> None:
    stored = [transfer(number, units=units) for number, units in enumerate(amounts)]
    directory = tmp_path_factory.mktemp("store")
    with Store(directory) as store:
        store.append(Fresh(stored))
        columns = store.columns(ETHER)
    again = Store(directory)
    found = again.leaving(ETHEREUM, {each.source for each in stored})
    assert sorted(found, key=lambda each: each.transaction) == stored
    assert [columns.flows.units(row) for row in range(len(amounts))] == amounts
    [file] = again.files
    assert sum(int(each) for each in pq.read_table(file)["units"].to_pylist()) == sum(amounts)


@pytest.mark.parametrize("units", [-1, UNITS_MAX, 2**256 - 1])
def test_an_amount_that_no_asset_has_is_refused_whole(tmp_path: Path, units: int) -> None:
    with Store(tmp_path) as store:
        with pytest.raises(TransferImpossible):
            store.append(Fresh([transfer(1), transfer(2, units=units)], source="x", cursor="further"))
        assert len(store) == 0
        assert store.cursor("x") == ""


def test_what_is_pulled_again_is_there_once(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        assert store.append(Fresh(many(10), source="node")) == 10
        assert store.append(Fresh(many(12), source="explorer")) == 2
        assert len(store) == len(store.arriving(ETHEREUM, {f"0xb{n}" for n in range(5)})) == 12
        assert store.pulled["explorer"].repeated == 10


def test_two_sources_that_count_places_differently_tell_of_one_transfer(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.append(Fresh([transfer(1, order=7 << 24)]))
        assert store.append(Fresh([transfer(1, order=3, evidence="V1")])) == 0


def test_equal_transfers_of_one_transaction_are_both_kept(tmp_path: Path) -> None:
    twice = [transfer(1, order=1), transfer(1, order=2)]
    with Store(tmp_path) as store:
        assert store.append(Fresh(twice)) == 2
        assert store.append(Fresh(twice)) == 0
        assert store.of_transactions(ETHEREUM, [twice[0].transaction]) == twice


def test_a_source_that_knows_of_one_more_equal_transfer_adds_that_one(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        assert store.append(Fresh([transfer(1, order=1)])) == 1
        assert store.append(Fresh([transfer(1, order=5), transfer(1, order=6)])) == 1
        assert len(store) == 2


@pytest.mark.parametrize("beside", [0, 10, 10_000])
def test_answers_are_those_of_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: int) -> None:
    """In memory, in the index, and partly in both."""
    monkeypatch.setattr(store_module, "_BESIDE_MAX", beside)
    chance = random.Random(5)  # noqa: S311  a fixed choice of cases, no secret
    kinds = list(Movement)
    every = [
        transfer(
            number, network=chance.choice([ETHEREUM, OTHER]), source=f"s{chance.randrange(9)}",
            target=f"s{chance.randrange(9)}", transaction=f"t{number // 3}", movement=chance.choice(kinds),
            outpoint=f"o{number}", memo="=:b" if number % 5 else "", evidence=f"V{number % 2}",
        )
        for number in range(200)
    ]  # fmt: skip
    listed = ListedTransfers(every)
    names = {f"s{number}" for number in range(10)}
    with Store(tmp_path) as store:
        for at in range(0, 200, 40):
            store.append(Fresh(every[at : at + 40]))
            store.leaving(OTHER, ["s1"])
        for each in (store, Store(tmp_path)):
            for network in (ETHEREUM, OTHER, "eip155:9"):
                assert each.leaving(network, names) == listed.leaving(network, names)
                assert each.arriving(network, ["s3", "s4"]) == listed.arriving(network, ["s3", "s4"])
                assert each.of_transactions(network, ["t5"]) == listed.of_transactions(network, ["t5"])
                assert each.degrees(network, names) == listed.degrees(network, names)


def test_a_store_filled_by_crumbs_has_few_parts(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for each in many(100):
            store.append(Fresh([each]))
        assert len(store.files) < 35
        assert len(store) == len(Store(tmp_path).leaving(ETHEREUM, {f"0xa{n}" for n in range(7)})) == 100
        assert store.append(Fresh(many(100))) == 0
    with Store(tmp_path) as again:
        again.append(Fresh([transfer(500)]))
        assert len(list(tmp_path.glob("part-*"))) == len(again.files)


def test_blocks_that_are_no_longer_of_the_chain_are_forgotten(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.append(Fresh([*many(40), transfer(3, network=OTHER)], source="node", cursor="109"))
        assert store.forget(ETHEREUM, 105, 109, source="node", cursor="104") == 20
        left = store.leaving(ETHEREUM, {f"0xa{n}" for n in range(7)})
        assert max(each.height for each in left) == 104
        assert len(store.leaving(OTHER, ["0xa3"])) == 1
        assert store.cursor("node") == "104"
        assert store.append(Fresh(many(40), source="node", cursor="109")) == 20


def test_a_crash_between_part_and_state_leaves_the_store_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(tmp_path) as store:
        store.append(Fresh(many(4), source="node", cursor="100"))
    with monkeypatch.context() as patch, Store(tmp_path) as store:
        patch.setattr(Parts, "save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            store.append(Fresh(many(8), source="node", cursor="101"))
    with Store(tmp_path) as again:
        assert (len(again), again.cursor("node")) == (4, "100")
        assert again.append(Fresh(many(8), source="node", cursor="101")) == 4
        assert len(list(tmp_path.glob("part-*"))) == 2


def test_one_program_writes_at_a_time(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.append(Fresh(many(4)))
        other = Store(tmp_path)
        assert len(other.leaving(ETHEREUM, ["0xa1"])) == 1
        with pytest.raises(StoreBusy):
            other.append(Fresh(many(5)))
    assert other.append(Fresh(many(5))) == 1
    other.close()


def test_taint_lies_at_outpoints_in_the_bitcoin_family(tmp_path: Path) -> None:
    """One address gets two outputs and spends one: the other stays clean."""
    coin = "bip122:12a765e31ffd4059bada1e25190f6e98/slip44:2"
    network = coin.partition("/")[0]

    def move(order: int, source: str, target: str, units: int, **more: object) -> Transfer:
        return transfer(
            order, network=network, height=1, order=order, transaction="t" + str(order // 3), asset=coin,
            source=source, target=target, units=units, **more,
        )  # fmt: skip

    moves = [
        move(0, "t0", "alice", 5, movement=Movement.OUTPUT, outpoint="t0:0"),
        move(1, "t0", "alice", 7, movement=Movement.OUTPUT, outpoint="t0:1"),
        move(3, "alice", "t1", 7, movement=Movement.INPUT, outpoint="t0:1"),
        move(4, "t1", "bob", 6, movement=Movement.OUTPUT, outpoint="t1:0"),
        move(5, "t1", "fees", 1, movement=Movement.FEE),
    ]
    with Store(tmp_path) as store:
        store.append(Fresh(moves))
        columns = store.columns(coin)
        assert store.numbered(columns.rows.tolist()) == moves
        found = spread(columns.flows, [0], Policy.FIFO).lies()
        assert {store.name(int(columns.names[node])): units for node, units in found.items()} == {"t0:0": 5}
        with pytest.raises(AssetNotStored):
            store.columns("nothing")
