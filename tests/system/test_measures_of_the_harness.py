"""The kill harness's own measures, on cases whose answer is plain: a check that cannot fail shows nothing."""

import asyncio

import pytest

from fixtures_chain_facts import differing, over_limit, smallest
from fixtures_gates import TOWER_MARKS, Gate
from fixtures_money_out import tight

DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("spent", "over"),
    [
        ([(0, 10)], 0),
        ([(0, 11)], 1),
        ([(0, 10), (0, 1)], 1),
        ([(0, 10), (DAY_MS, 10)], 0),
        ([(0, 10), (DAY_MS // 2, 6)], 1),
        ([(0, 10), (DAY_MS * 5, 10), (DAY_MS * 5, 3)], 3),
        ([(DAY_MS, 10), (0, 1)], 1),
    ],
)
def test_a_bucket_overflows_by_what_is_above_burst_and_rate(spent: list[tuple[int, int]], over: int) -> None:
    assert over_limit(spent, burst=10, per_day=10, slack_ms=0) == over


@pytest.mark.parametrize(
    ("amount", "units"), [("1.0", 10**8), ("0.00000001", 1), ("12", 12 * 10**8), ("1e-8", 1), ("1.5E2", 150 * 10**8)]
)
def test_a_nodes_number_is_read_without_rounding(amount: str, units: int) -> None:
    assert smallest(amount) == units


def test_accounts_differ_where_one_has_more_or_lacks_an_entry() -> None:
    assert differing({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == {"b": (2, 3), "c": (0, 4)}
    assert differing({"a": 0}, {}) == {}


def test_limits_are_set_for_the_asset_that_is_named_and_no_other() -> None:
    text = '[assets."a"]\nsymbol = "LTC"\ntotal = { x }\nnew = { x }\n[assets."b"]\nsymbol = "ETH"\ntotal = { x }\n'
    changed = tight(text, {"ETH": ("1", "2")})
    assert changed == text.removesuffix("{ x }\n") + '{ burst = "1", per_day = "2" }\n'


async def test_a_door_names_the_moment_before_a_message_and_the_one_before_its_answer() -> None:
    seen: list[str] = []
    passed = asyncio.Event()

    async def spot(point: str) -> None:
        assert passed.is_set() == point.endswith("leased"), "nothing passes while a moment lasts"
        seen.append(point)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if b"reserved" in line:
                passed.set()
            writer.write(b"answer\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    gate = Gate(server.sockets[0].getsockname()[1], TOWER_MARKS, spot)
    await gate.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.own_port)
    writer.write(b'{"ask":"without entries"}\n')
    assert await reader.readline() == b"answer\n"
    writer.write(rb"{\"kind\":\"rese")
    await writer.drain()
    await asyncio.sleep(0)
    writer.write(rb"rved\"}" + b"\n")
    assert await reader.readline() == b"answer\n"
    assert seen == ["reservation-journaled", "reservation-leased"]
    writer.close()
    await gate.stop()
    server.close()
