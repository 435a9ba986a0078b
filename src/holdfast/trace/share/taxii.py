"""TAXII 2.1 (OASIS, June 2021) as a function: a request and what is stored give a reply. No socket, no clock.

Discovery, API roots, status, collections, manifest, objects (get, add, delete), one object, its versions; filters
`added_after`, `limit`, `next`, `match[id|type|version|spec_version]`. Only what the operator configured exists.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from holdfast.trace.share.collections import Collections, Entry, stamp
from holdfast.trace.share.notice import Tlp
from holdfast.trace.share.stix_objects import markings

MEDIA_TYPE = "application/taxii+json;version=2.1"
BODY_BYTES_MOST = 16 * 2**20
PAGE_MOST = 1_000
_STRICTNESS = (Tlp.CLEAR, Tlp.GREEN, Tlp.AMBER, Tlp.AMBER_STRICT, Tlp.RED)
_ID = re.compile(r"[a-z0-9-]{1,100}--[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)


class PeerAccess(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may ask."""

    name: str
    token_sha256: str
    """Of his token (`holdfast share taxii token` makes one): it is the password of HTTP basic, or a bearer token."""


class Collection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One collection of objects."""

    id: str
    """A UUID."""
    title: str
    description: str = ""
    readers: tuple[str, ...] = ()
    writers: tuple[str, ...] = ()
    strictest: Tlp = Tlp.AMBER
    """Objects marked more strictly are not taken: all readers of a collection see all of it."""


class ApiRoot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A group of collections under one path."""

    path: str
    title: str
    description: str = ""
    collections: tuple[Collection, ...] = ()


class TaxiiSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of the file that the operator writes."""

    title: str
    directory: str
    """Where objects are kept; relative to the file."""
    peers: tuple[PeerAccess, ...] = ()
    roots: tuple[ApiRoot, ...] = ()
    description: str = ""
    contact: str = ""
    listen: str = "127.0.0.1:9443"
    tls_certificate: str = ""
    """PEM file, relative to this one; without, put a proxy that speaks TLS in front: tokens go through in clear."""
    tls_key: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """One HTTP request."""

    method: str
    path: str
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """By name in lower case."""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP reply."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class _Refused(Exception):
    def __init__(self, status: int, title: str) -> None:
        super().__init__(title)
        self.status, self.title = status, title


@dataclass(slots=True)
class Taxii:
    """The server: what is configured and where objects are kept."""

    settings: TaxiiSettings
    kept: Collections
    statuses: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By root and id: of additions since it started; every addition is complete when its status is first seen."""

    def handle(self, asked: Asked, now: int) -> Reply:
        """The reply to a request. `now`: microseconds since 1970."""
        try:
            return self._handle(asked, now)
        except _Refused as refused:
            body = {"title": refused.title, "http_status": str(refused.status)}
            challenge = {"www-authenticate": 'Basic realm="taxii"'} if refused.status == _UNAUTHORIZED else {}
            return _reply(refused.status, body, challenge)

    def _handle(self, asked: Asked, now: int) -> Reply:
        peer = self._peer(asked.headers.get("authorization", ""))
        _acceptable(asked.headers.get("accept", "*/*"))
        parts = [part for part in asked.path.split("/") if part]
        if parts == ["taxii2"]:
            _allow(asked, "GET")
            return _reply(200, self._discovery(asked))
        root = next((each for each in self.settings.roots if parts[:1] == [each.path]), None)
        if root is None:
            raise _Refused(404, "there is no such API root")
        match parts[1:]:
            case []:
                _allow(asked, "GET")
                return _reply(200, _root(root))
            case ["status", number]:
                _allow(asked, "GET")
                return _reply(200, _found(self.statuses.get(f"{root.path}/{number}")))
            case ["collections"]:
                _allow(asked, "GET")
                shown = [_shown(each, peer) for each in root.collections if _sees(each, peer)]
                return _reply(200, {"collections": shown} if shown else {})
            case ["collections", number, *rest]:
                collection = next((each for each in root.collections if each.id == number and _sees(each, peer)), None)
                return self._collection(asked, _Place(root, _found(collection), peer, now), rest)
            case _:
                raise _Refused(404, "there is no such resource")

    def _collection(self, asked: Asked, place: _Place, rest: Sequence[str]) -> Reply:
        match list(rest):
            case []:
                _allow(asked, "GET")
                return _reply(200, _shown(place.collection, place.peer))
            case ["manifest"]:
                _allow(asked, "GET")
                return self._page(asked, place, _manifest_entry)
            case ["objects"] if asked.method == "POST":
                return self._add(asked, place)
            case ["objects"]:
                _allow(asked, "GET")
                return self._page(asked, place, lambda entry: entry.object)
            case ["objects", object_id] if asked.method == "DELETE":
                return self._delete(place, object_id)
            case ["objects", object_id]:
                _allow(asked, "GET")
                return self._page(asked, place, lambda entry: entry.object, object_id)
            case ["objects", object_id, "versions"]:
                _allow(asked, "GET")
                return self._page(asked, place, lambda entry: entry.version, object_id)
            case _:
                raise _Refused(404, "there is no such resource")

    def _peer(self, header: str) -> str:
        scheme, _, rest = header.partition(" ")
        name, token = "", rest.strip()
        if scheme.lower() == "basic":
            try:
                name, _, token = b64decode(rest, validate=True).decode().partition(":")
            except (NotBase64, UnicodeDecodeError, ValueError):
                raise _Refused(401, "the credentials cannot be read") from None
        digest = hashlib.sha256(token.encode()).hexdigest()
        for peer in self.settings.peers:
            if hmac.compare_digest(peer.token_sha256, digest) and token and name in ("", peer.name):
                return peer.name
        raise _Refused(401, "give the name and token that the operator handed out")

    def _discovery(self, asked: Asked) -> dict[str, object]:
        host = asked.headers.get("host", self.settings.listen)
        scheme = "https" if self.settings.tls_certificate else asked.headers.get("x-forwarded-proto", "http")
        roots = [f"{scheme}://{host}/{root.path}/" for root in self.settings.roots]
        found: dict[str, object] = {"title": self.settings.title, "api_roots": roots}
        found |= {"default": roots[0]} if roots else {}
        for name in ("description", "contact"):
            if getattr(self.settings, name):
                found[name] = getattr(self.settings, name)
        return found

    def _page(self, asked: Asked, place: _Place, shape: Callable[[Entry], object], object_id: str = "") -> Reply:
        if place.peer not in place.collection.readers:
            raise _Refused(403, "this peer may not read the collection")
        entries = [each for each in self.kept.entries(place.collection.id) if object_id in ("", each.id)]
        if object_id and not entries:
            raise _Refused(404, "there is no such object")
        is_versions = asked.path.rstrip("/").endswith("/versions")
        found = _filtered(entries, asked.query, "all" if is_versions else "last")
        limit = _limit(asked.query)
        shown, rest = found[:limit], found[limit:]
        name = "versions" if is_versions else "objects"
        body: dict[str, object] = {name: [shape(each) for each in shown]} if shown else {}
        if rest:
            body |= {"more": True, "next": str(shown[-1].added)}
        headers = (
            {"x-taxii-date-added-first": stamp(shown[0].added), "x-taxii-date-added-last": stamp(shown[-1].added)}
            if shown
            else {}
        )
        return _reply(200, body, headers)

    def _add(self, asked: Asked, place: _Place) -> Reply:
        if place.peer not in place.collection.writers:
            raise _Refused(403, "this peer may not add to the collection")
        if not _is_taxii(asked.headers.get("content-type", "")):
            raise _Refused(415, f"send {MEDIA_TYPE}")
        rows = _envelope(asked.body)
        good = [row for row in rows if not _wrong(row, place.collection)]
        self.kept.add(place.collection.id, good, place.peer, place.now)
        failures = [
            {"id": str(row.get("id", "?"))[:200], "message": why}
            for row in rows
            if (why := _wrong(row, place.collection))
        ]
        number = hashlib.sha256(f"{place.now} {place.peer}".encode() + asked.body).hexdigest()
        number = f"{number[:8]}-{number[8:12]}-4{number[13:16]}-a{number[17:20]}-{number[20:32]}"
        status: dict[str, Any] = {
            "id": number,
            "status": "complete",
            "request_timestamp": stamp(place.now),
            "total_count": len(rows),
            "success_count": len(good),
            "successes": [{"id": row["id"], "version": Entry(place.now, row, "").version} for row in good],
            "failure_count": len(failures),
            "failures": failures,
            "pending_count": 0,
        }
        self.statuses[f"{place.root.path}/{number}"] = status
        while len(self.statuses) > _STATUSES_MOST:
            del self.statuses[next(iter(self.statuses))]
        return _reply(202, status)

    def _delete(self, place: _Place, object_id: str) -> Reply:
        collection = place.collection
        if place.peer not in collection.writers or place.peer not in collection.readers:
            raise _Refused(403, "this peer may not delete from the collection")
        mine = [each for each in self.kept.entries(collection.id) if each.id == object_id]
        if not mine:
            raise _Refused(404, "there is no such object")
        if any(each.by != place.peer for each in mine):
            raise _Refused(403, "only who added an object may delete it")
        self.kept.delete(collection.id, object_id, place.peer, place.now)
        return _reply(200, {})


@dataclass(frozen=True, slots=True)
class _Place:
    root: ApiRoot
    collection: Collection
    peer: str
    now: int


_UNAUTHORIZED = 401
_STATUSES_MOST = 1_000


def _reply(status: int, body: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Reply:
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return Reply(status, content, {"content-type": MEDIA_TYPE, **(headers or {})})


def _allow(asked: Asked, method: str) -> None:
    if asked.method != method:
        raise _Refused(405, f"only {method} is possible here")


def _found(value: Any) -> Any:
    if value is None:
        raise _Refused(404, "there is no such resource")
    return value


def _is_taxii(header: str) -> bool:
    kind, *parameters = (part.strip().lower() for part in header.split(";"))
    versions = [each.removeprefix("version=").strip('"') for each in parameters if each.startswith("version=")]
    return kind == "application/taxii+json" and versions in ([], ["2.1"])


def _acceptable(header: str) -> None:
    for each in header.split(","):
        if _is_taxii(each) or each.split(";")[0].strip() in ("*/*", "application/*"):
            return
    raise _Refused(406, f"only {MEDIA_TYPE} is spoken here")


def _sees(collection: Collection, peer: str) -> bool:
    return peer in (*collection.readers, *collection.writers)


def _root(root: ApiRoot) -> dict[str, object]:
    found: dict[str, object] = {
        "title": root.title, "versions": [MEDIA_TYPE], "max_content_length": BODY_BYTES_MOST,
    }  # fmt: skip
    return found | ({"description": root.description} if root.description else {})


def _shown(collection: Collection, peer: str) -> dict[str, object]:
    found: dict[str, object] = {
        "id": collection.id,
        "title": collection.title,
        "can_read": peer in collection.readers,
        "can_write": peer in collection.writers,
        "media_types": ["application/stix+json;version=2.1"],
    }
    return found | ({"description": collection.description} if collection.description else {})


def _manifest_entry(entry: Entry) -> dict[str, object]:
    return {
        "id": entry.id, "date_added": stamp(entry.added), "version": entry.version,
        "media_type": "application/stix+json;version=2.1",
    }  # fmt: skip


def _one(query: Mapping[str, Sequence[str]], name: str) -> str:
    return next(iter(query.get(name, ())), "")


def _limit(query: Mapping[str, Sequence[str]]) -> int:
    text = _one(query, "limit")
    if text and not re.fullmatch(r"[1-9]\d{0,8}", text, re.ASCII):
        raise _Refused(400, "limit is a number from 1")
    return min(int(text or PAGE_MOST), PAGE_MOST)


def _filtered(entries: Sequence[Entry], query: Mapping[str, Sequence[str]], versions: str) -> list[Entry]:
    """What a query asks for; `versions`: of which versions, where it does not say."""
    after, page = _one(query, "added_after"), _one(query, "next")
    if (after and not _STAMP.fullmatch(after)) or (page and not re.fullmatch(r"\d{1,20}", page, re.ASCII)):
        raise _Refused(400, "added_after is a timestamp with at most six digits of a second; next comes from a reply")
    found = _of_versions(entries, _one(query, "match[version]") or versions)
    for name, value in (("match[id]", "id"), ("match[type]", "type"), ("match[spec_version]", "spec_version")):
        wanted = _one(query, name).split(",") if _one(query, name) else []
        if wanted:
            found = [each for each in found if str(each.object.get(value, "2.1")) in wanted]
    if after:
        found = [each for each in found if stamp(each.added) > _padded(after)]
    return [each for each in found if each.added > int(page or 0)]


def _padded(text: str) -> str:
    whole, _, part = text.removesuffix("Z").partition(".")
    return f"{whole}.{part:0<6}Z"


def _of_versions(entries: Sequence[Entry], wanted: str) -> list[Entry]:
    """By `match[version]`: `all`, `first`, `last` or exact versions, several apart by commas."""
    names = wanted.split(",")
    if "all" in names:
        return list(entries)
    first: dict[str, Entry] = {}
    last: dict[str, Entry] = {}
    for each in entries:
        if each.id not in first or each.version < first[each.id].version:
            first[each.id] = each
        if each.id not in last or each.version >= last[each.id].version:
            last[each.id] = each
    return [
        each
        for each in entries
        if ("first" in names and first[each.id] is each)
        or ("last" in names and last[each.id] is each)
        or each.version in names
    ]


def _envelope(body: bytes) -> list[dict[str, Any]]:
    if len(body) > BODY_BYTES_MOST:
        raise _Refused(413, f"more than {BODY_BYTES_MOST} bytes")
    try:
        whole = json.loads(body)
    except (ValueError, RecursionError):
        raise _Refused(400, "not JSON") from None
    rows = whole.get("objects") if isinstance(whole, dict) else None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise _Refused(422, "an envelope with objects is wanted")
    return rows


def _wrong(row: Mapping[str, Any], collection: Collection) -> str:
    """Why an object is not taken; empty where it is."""
    if not isinstance(row.get("id"), str) or not _ID.fullmatch(row["id"]):
        return "its id is none of STIX"
    if row.get("spec_version", "2.1") != "2.1" or row["id"].split("--")[0] != row.get("type"):
        return "not an object of STIX 2.1"
    refs = row.get("object_marking_refs", [])
    tlp = strictest_marking(refs if isinstance(refs, list) else [])
    if tlp is not None and _STRICTNESS.index(tlp) > _STRICTNESS.index(collection.strictest):
        return f"TLP:{tlp.upper()} is stricter than this collection, which is TLP:{collection.strictest.upper()}"
    return ""


def strictest_marking(refs: Sequence[object]) -> Tlp | None:
    """The strictest TLP marking among these; None: none is."""
    found = [tlp for each in refs if isinstance(each, str) and (tlp := markings().get(each)) is not None]
    return max(found, key=_STRICTNESS.index, default=None)
