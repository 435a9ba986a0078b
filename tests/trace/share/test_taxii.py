"""A real TAXII server, asked by the reference client and by our own; and what was told is live at once."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import requests
from taxii2client.v21 import ApiRoot, Collection as TheirCollection, Server

from fixtures_link import ETHEREUM, NOON, Story, account
from holdfast.chains.local_process import free_port
from holdfast.trace.labels.shelf import KeptBook, Shelf
from holdfast.trace.model import LabelKind
from holdfast.trace.share import intake, stix
from holdfast.trace.share.leaving import Telling, notice
from holdfast.trace.share.notice import Notice, Tlp
from holdfast.trace.share.pulling import Peer, pull, take_in
from holdfast.trace.share.taxii import MEDIA_TYPE
from holdfast.trace.share.taxii_client import TaxiiClient, TaxiiServerRefused
from holdfast.trace.share.taxii_settings import TaxiiSettingsWrong, new_token, read_taxii_settings

OPEN, CLOSED = str(uuid4()), str(uuid4())


@dataclass
class Running:
    url: str
    tokens: dict[str, str]
    directory: Path

    opened: list[Any] = field(default_factory=list)

    def client(self, who: str = "blue") -> TaxiiClient:
        client = TaxiiClient(f"{self.url}/victims", who, self.tokens[who])
        self.opened.append(client)
        return client

    def keep(self, client: Any) -> Any:
        """Closes it at the end."""
        self.opened.append(client)
        return client

    def get(self, path: str, who: str = "blue", **headers: str) -> httpx.Response:
        return httpx.get(self.url + path, auth=(who, self.tokens[who]), headers={"accept": MEDIA_TYPE} | headers)


def settings_text(port: int, tokens: dict[str, tuple[str, str]]) -> str:
    peers = "\n".join(f'[[peers]]\nname = "{name}"\ntoken_sha256 = "{digest}"' for name, (_, digest) in tokens.items())
    return f"""
title = "Shop Ltd"
directory = "collections"
listen = "127.0.0.1:{port}"
contact = "soc@shop.example"
{peers}
[[roots]]
path = "victims"
title = "Victims of thefts"
[[roots.collections]]
id = "{OPEN}"
title = "Indicators"
readers = ["red", "blue"]
writers = ["red", "blue"]
strictest = "amber+strict"
[[roots.collections]]
id = "{CLOSED}"
title = "Written by red"
readers = ["red"]
writers = ["red"]
[[roots]]
path = "empty"
title = "Nothing"
"""


@contextmanager
def run(directory: Path) -> Iterator[Running]:
    port = free_port()
    tokens = {name: new_token() for name in ("red", "blue")}
    config = directory / "taxii.toml"
    config.write_text(settings_text(port, tokens))
    argv = [sys.executable, "-m", "holdfast.faces.api.taxii", "--config", str(config)]
    with subprocess.Popen(argv) as process:  # noqa: S603  our own module
        running = Running(f"http://127.0.0.1:{port}", {name: token for name, (token, _) in tokens.items()}, directory)
        try:
            deadline = time.monotonic() + 30
            while True:
                assert process.poll() is None, f"the server ended with {process.returncode}"
                try:
                    httpx.get(running.url)
                    break
                except httpx.TransportError:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            yield running
        finally:
            for client in running.opened:
                client.close()
            process.terminate()
            process.wait(timeout=20)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with run(tmp_path_factory.mktemp("taxii")) as server:
        yield server


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Running]:
    with run(tmp_path) as server:
        yield server


def told(tlp: Tlp = Tlp.AMBER_STRICT, at: int = NOON, incident: str = "inc 1") -> Notice:
    story = Story("red").theft("victim", "red 1", 10**18)
    for number in range(5):
        story.move("red 1", f"mule {number}", 10**16)
    return notice(story.incident(), Telling(incident, "Theft of July", "Red Ltd", at, created_at=NOON, tlp=tlp))


def objects_of(said: Notice) -> list[dict[str, object]]:
    return list(json.loads(stix.bundle(said))["objects"])


def test_the_reference_client_finds_reads_adds_and_pages(fresh: Running) -> None:
    user = {"user": "red", "password": fresh.tokens["red"]}
    server = fresh.keep(Server(f"{fresh.url}/taxii2/", **user))
    assert server.title == "Shop Ltd"
    assert [root.title for root in server.api_roots] == ["Victims of thefts", "Nothing"]
    root = fresh.keep(ApiRoot(f"{fresh.url}/victims/", **user))
    assert {each.title for each in root.collections} == {"Indicators", "Written by red"}
    collection = next(each for each in root.collections if each.id == OPEN)
    rows = objects_of(told())
    status = collection.add_objects({"objects": rows})
    assert (status.status, status.success_count, status.failure_count) == ("complete", len(rows), 0)
    assert root.get_status(status.id).success_count == len(rows)
    found = collection.get_objects()["objects"]
    assert found == rows
    first = collection.get_objects(limit=3)
    assert first["more"] is True
    assert first["objects"] == rows[:3]
    rest = collection.get_objects(limit=1000, next=first["next"])
    assert rest["objects"] == rows[3:]


def test_the_reference_client_filters_and_sees_versions(fresh: Running) -> None:
    user = {"user": "red", "password": fresh.tokens["red"]}
    collection = fresh.keep(TheirCollection(f"{fresh.url}/victims/collections/{OPEN}/", **user))
    rows = objects_of(told())
    collection.add_objects({"objects": rows})
    manifest = collection.get_manifest()["objects"]
    assert [each["id"] for each in manifest] == [row["id"] for row in rows]
    later = collection.get_objects(added_after=manifest[-2]["date_added"])
    assert later["objects"] == rows[-1:]
    indicators = collection.get_objects(type="indicator")["objects"]
    assert {each["type"] for each in indicators} == {"indicator"}
    one = collection.get_object(indicators[0]["id"])["objects"]
    assert one == indicators[:1]
    newer = dict(indicators[0], modified="2030-01-01T00:00:00.000Z", revoked=True)
    collection.add_objects({"objects": [newer]})
    versions = collection.object_versions(newer["id"])["versions"]
    assert versions == [indicators[0]["modified"], newer["modified"]]
    assert collection.get_object(newer["id"])["objects"] == [newer]
    assert len(collection.get_object(newer["id"], version="all")["objects"]) == 2
    collection.delete_object(newer["id"])
    with pytest.raises(requests.HTTPError, match="404"):
        collection.get_object(newer["id"])


def test_the_same_objects_twice_are_there_once(fresh: Running) -> None:
    client = fresh.client()
    for _ in range(2):
        assert client.add(OPEN, objects_of(told())) == []
    assert list(client.objects(OPEN).objects) == objects_of(told())


def test_our_client_reads_on_where_it_stopped(fresh: Running) -> None:
    client = fresh.client()
    client.add(OPEN, objects_of(told()))
    page = client.objects(OPEN)
    assert client.objects(OPEN, page.added_last).objects == ()
    client.add(OPEN, objects_of(told(incident="inc 2")))
    assert {each["type"] for each in client.objects(OPEN, page.added_last).objects} >= {"incident", "indicator"}


def test_a_collection_that_is_not_for_a_peer_does_not_exist_for_him(running: Running) -> None:
    assert [each["id"] for each in running.client("blue").collections()] == [OPEN]
    assert running.get(f"/victims/collections/{CLOSED}/objects/").status_code == 404
    assert running.get("/payments/").status_code == 404
    assert running.get("/v1/merchants").status_code == 404


def test_without_the_token_nothing_is_told(running: Running) -> None:
    for auth in (None, ("blue", "wrong"), ("red", running.tokens["blue"]), ("", "")):
        reply = httpx.get(f"{running.url}/taxii2/", auth=auth)
        assert reply.status_code == 401
        assert "www-authenticate" in reply.headers
        assert "Shop" not in reply.text
    bearer = httpx.get(f"{running.url}/taxii2/", headers={"authorization": f"Bearer {running.tokens['blue']}"})
    assert bearer.status_code == 200
    assert bearer.headers["content-type"] == MEDIA_TYPE


def test_other_media_types_and_bad_questions_are_refused_by_name(running: Running) -> None:
    objects = f"/victims/collections/{OPEN}/objects/"
    auth = ("blue", running.tokens["blue"])
    assert running.get("/taxii2/", accept="application/taxii+json;version=2.0").status_code == 406
    assert running.get("/taxii2/", accept="text/html").status_code == 406
    assert running.get(objects + "?limit=0").status_code == 400
    assert running.get(objects + "?added_after=yesterday").status_code == 400
    assert running.get(objects + "?next=abc").status_code == 400
    url = running.url + objects
    assert httpx.post(url, auth=auth, content=b"{}", headers={"content-type": "application/json"}).status_code == 415
    for body, status in ((b"{", 400), (b"{}", 422), (b'{"objects": [1]}', 422), (b"[" * 5000, 400)):
        reply = httpx.post(url, auth=auth, content=body, headers={"content-type": MEDIA_TYPE})
        assert reply.status_code == status
        assert reply.json()["http_status"] == str(status)
    assert httpx.put(url, auth=auth).status_code == 405


def test_what_is_marked_more_strictly_than_the_collection_is_not_taken(fresh: Running) -> None:
    refused = fresh.client().add(OPEN, objects_of(told(Tlp.RED)))
    marked = [each for each in objects_of(told(Tlp.RED)) if "object_marking_refs" in each]
    assert len(refused) == len(marked) > 5
    assert all("TLP:RED" in each for each in refused)
    assert not [each for each in fresh.client().objects(OPEN).objects if each["type"] == "indicator"]


def test_nobody_deletes_what_another_added(fresh: Running) -> None:
    fresh.client("red").add(OPEN, objects_of(told()))
    user = {"user": "blue", "password": fresh.tokens["blue"]}
    theirs = fresh.keep(TheirCollection(f"{fresh.url}/victims/collections/{OPEN}/", **user))
    with pytest.raises(requests.HTTPError, match="403"):
        theirs.delete_object(str(objects_of(told())[-1]["id"]))


def test_objects_outlive_the_server(tmp_path: Path) -> None:
    with run(tmp_path) as first:
        first.client().add(OPEN, objects_of(told()))
    with run(tmp_path) as second:
        assert list(second.client().objects(OPEN).objects) == objects_of(told())


def test_an_address_that_a_peer_tells_is_live_at_once_and_gone_when_he_takes_it_back(
    fresh: Running, tmp_path: Path
) -> None:
    shelf = Shelf(tmp_path / "labels")
    book = KeptBook(shelf.directory)
    thief = account("red 1")
    assert not book.labels(ETHEREUM, thief, NOON + 100)

    def take(at: int) -> int:
        pulled = pull(fresh.client("blue"), OPEN, tmp_path / "mirror", "red", at * 1_000_000)
        take_in(pulled.notices, shelf, Peer("red"), at)
        return pulled.fresh

    fresh.client("red").add(OPEN, objects_of(told()))
    assert take(NOON + 100) == len(objects_of(told()))
    assert take(NOON + 101) == 0
    assert book.refresh()
    (found,) = book.labels(ETHEREUM, thief, NOON + 100)
    assert found.kind is LabelKind.THEFT
    assert found.confidence <= 50
    assert "Red Ltd" in found.source
    import msgspec

    said = told(at=NOON + 60)
    gone = msgspec.structs.replace(
        said, addresses=tuple(msgspec.structs.replace(a, revoked=a.address == thief) for a in said.addresses)
    )
    fresh.client("red").add(OPEN, objects_of(gone))
    take(NOON + 200)
    book.refresh()
    assert not [each for each in book.labels(ETHEREUM, thief, NOON + 200) if each.kind is LabelKind.THEFT]
    assert book.labels(ETHEREUM, account("mule 1"), NOON + 10_000)


def test_what_a_peer_tells_goes_through_admission(tmp_path: Path) -> None:
    import msgspec

    said = told()
    broken = msgspec.structs.replace(said.addresses[0], address="TNMW5iEH7CCudMTGFJA9Ch6KSf6J3hAJeX", network="")
    nowhere = msgspec.structs.replace(said.addresses[0], address="x", network="cosmos:hub")
    found = intake.feed(msgspec.structs.replace(said, addresses=(broken, nowhere)), "red", NOON)
    assert found.labels == ()
    assert sorted(str(each.reason) for each in found.refused) == ["checksum-broken", "network-unknown"]


@pytest.mark.parametrize("line", ["", "title = 5", 'roots = [{path = "taxii2", title = ""}]'])
def test_settings_that_cannot_be_used_are_refused_by_name(tmp_path: Path, line: str) -> None:
    path = tmp_path / "taxii.toml"
    path.write_text(
        f'directory = "d"\n{line}\n' if "title = 5" in line or not line else f'title="t"\ndirectory="d"\n{line}'
    )
    with pytest.raises(TaxiiSettingsWrong):
        read_taxii_settings(path)


def test_a_server_that_is_not_there_or_talks_nonsense_is_said_so(running: Running) -> None:
    away = f"http://127.0.0.1:{free_port()}/victims"
    with TaxiiClient(away, "blue", "t") as client, pytest.raises(TaxiiServerRefused):
        client.collections()
    nowhere = f"{running.url}/nowhere"
    with TaxiiClient(nowhere, "blue", running.tokens["blue"]) as client, pytest.raises(TaxiiServerRefused, match="404"):
        client.collections()
