"""The incident process beside a real watchtower: it opens an incident by itself, writes, tells and seals."""

import json
import os
import signal
import sys
from pathlib import Path

from fixtures_incident import Shop, incident_process, until, until_async, webhook_receiver
from holdfast.core.journal import Ordered, Started, Stopped
from holdfast.core.leases import SignedLease
from holdfast.core.orders import CHECKS, Restore, Stage
from holdfast.core.states import IncidentState
from holdfast.incident.evidence import verify
from holdfast.incident.record import Moved, Noted, Sealed, Seen


def kinds(shop: Shop) -> list[str]:
    newest = shop.newest()
    return [one.kind for one in newest.of(Seen)] if newest else []


def is_sealed(shop: Shop, times: int = 1) -> bool:
    newest = shop.newest()
    return newest is not None and len(newest.of(Sealed)) >= times


def test_nothing_happens_while_all_is_well(shop: Shop) -> None:
    with incident_process(shop.config):
        shop.book.add(Started("boot", "1"))
        assert isinstance(shop.tower.lease(shop.book.ask(1)), SignedLease)
    assert shop.store.ids() == []


def test_the_signers_own_stop_opens_an_incident_with_sealed_evidence(shop: Shop) -> None:
    with incident_process(shop.config):
        shop.book.add(Started("boot", "1"), Stopped("eip155:31337", "the float was spent by 0xabc"))
        shop.tower.lease(shop.book.ask(1))
        until(lambda: is_sealed(shop))
        until(lambda: "signer-stopped" in kinds(shop))
    incident = shop.newest()
    assert incident is not None
    assert incident.state is IncidentState.CONTAINED, "its scope stands still"
    stop = next(one for one in incident.of(Seen) if one.kind == "stopped")
    assert (stop.zone, stop.by, stop.scope) == ("signer", "signer", "eip155:31337")
    _, findings = verify(shop.store.found(incident.id), shop.store.public_key)
    assert findings == []
    seal = shop.store.path(incident.id) / "evidence" / "0001"
    journal = json.loads((seal / "watchtower" / "journal.json").read_text())
    assert len(journal["entries"]) == 3
    assert (seal / "orders" / "1.json").exists()
    assert (seal / "affected.json").exists()


def test_a_freeze_by_a_person_opens_one_and_is_written_once_whatever_is_killed(shop: Shop) -> None:
    with incident_process(shop.config):
        shop.freeze()
        until(lambda: is_sealed(shop))
    with incident_process(shop.config):
        shop.freeze("eip155:31337", at=2)
        until(lambda: kinds(shop).count("stopped") == 2)
    assert len(shop.store.ids()) == 1
    newest = shop.newest()
    assert newest is not None
    assert [one.scope for one in newest.of(Seen) if one.kind == "stopped"] == ["*", "eip155:31337"]


def test_the_way_back_is_written_down_and_closing_waits_for_it(shop: Shop) -> None:
    with incident_process(shop.config):
        shop.freeze()
        until(lambda: is_sealed(shop))
        status = json.loads(shop.tower.say(b'{"status":{}}'))
        order = shop.tower.house.order(Restore(("*",), Stage.ALLOWLISTED, status["now_ms"] // 1_000 + 1, 1, CHECKS))
        shop.book.add(Ordered(order, status["now_ms"] // 1_000))
        assert isinstance(shop.tower.lease(shop.book.ask(1)), SignedLease)
        until(lambda: {"stop-ended", "stage", "ordered"} <= set(kinds(shop)))
    newest = shop.newest()
    assert newest is not None
    assert newest.stops == {}
    assert shop.store.append(newest.id, Moved(IncidentState.CLOSED, "ada")).state is IncidentState.CLOSED


def test_a_closed_incident_stays_closed_and_the_next_stop_opens_another(shop: Shop) -> None:
    first = shop.store.open("an older one")
    shop.store.append(first.id, Moved(IncidentState.CLOSED, "ada"))
    with incident_process(shop.config):
        shop.freeze()
        until(lambda: is_sealed(shop))
    assert len(shop.store.ids()) == 2
    assert len(shop.store.read(first.id).lines) == 2


def test_a_watchtower_that_goes_silent_is_an_alarm(shop: Shop) -> None:
    shop.set("silence_seconds = 1\n")
    with incident_process(shop.config):
        until(lambda: '"watching"' in (shop.config.parent / "log").read_text())
        shop.tower.process.send_signal(signal.SIGKILL)
        until(lambda: is_sealed(shop))
    newest = shop.newest()
    assert newest is not None
    assert any("watchtower-silent" in one.text for one in newest.of(Seen))
    manifest = (shop.store.path(newest.id) / "evidence" / "0001" / "manifest.json").read_text()
    assert "watchtower: journal" in manifest, "what could not be taken is named"


async def test_people_are_told_with_the_head_of_the_timeline(shop: Shop) -> None:
    async with webhook_receiver() as receiver:
        secret = shop.config.parent / "whsec"
        secret.write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        secret.chmod(0o600)
        shop.set(f'webhooks = [{{ url = "{receiver.url}", secret_file = "whsec" }}]\n')
        with incident_process(shop.config):
            shop.freeze()
            await until_async(lambda: len(receiver.came) >= 2)
    newest = shop.newest()
    assert newest is not None
    told = [json.loads(body) for _, body in receiver.came]
    assert told[0]["kind"].startswith("opened")
    assert told[0]["head"] in {line.stored.hash for line in newest.lines}
    assert len({one["id"] for one in told}) == len(told), "each once"


def test_a_note_by_command_and_the_process_do_not_disturb_each_other(shop: Shop) -> None:
    with incident_process(shop.config):
        shop.freeze()
        until(lambda: is_sealed(shop))
        newest = shop.newest()
        assert newest is not None
        shop.store.append(newest.id, Noted("ada", "called the exchange"))
        shop.freeze("eip155:31337", at=2)
        until(lambda: kinds(shop).count("stopped") == 2)
    newest = shop.newest()
    assert newest is not None
    assert [one.text for one in newest.of(Noted)] == ["called the exchange"]


def test_an_edited_timeline_is_said_and_what_still_stands_opens_another(shop: Shop) -> None:
    with incident_process(shop.config):
        shop.freeze()
        until(lambda: is_sealed(shop))
    [first] = shop.store.ids()
    path = shop.store.path(first) / "timeline.jsonl"
    path.write_text(path.read_text().replace("malware", "nothing", 1))
    with incident_process(shop.config):
        until(lambda: len(shop.store.ids()) == 2)
        assert "timeline_broken" in (shop.config.parent / "log").read_text()


def test_logs_and_readiness_of_other_zones_are_taken_where_they_can_be(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "api.log").write_text("a line\n")
    shop.set(
        f'log_files = ["{tmp_path}/api.log", "{tmp_path}/gone.log"]\nzones = {{ api = "http://127.0.0.1:9/ready" }}\n'
    )
    with incident_process(shop.config):
        shop.freeze()
        until(lambda: is_sealed(shop))
    newest = shop.newest()
    assert newest is not None
    seal = shop.store.path(newest.id) / "evidence" / "0001"
    assert (seal / "logs" / "01-api.log").read_text() == "a line\n"
    manifest = (seal / "manifest.json").read_text()
    assert "gone.log" in manifest
    assert "api: readiness" in manifest
    assert os.stat(seal / "logs" / "01-api.log").st_mode & 0o777 == 0o400


def test_it_does_not_run_without_its_assertions(shop: Shop) -> None:
    import subprocess

    command = [sys.executable, "-O", "-m", "holdfast.incident.main", "--config", str(shop.config)]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0  # noqa: S603  our own command
