"""Asking another's TAXII 2.1 server, and adding to it. Every answer is bounded; redirects are not followed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from holdfast.core.errors import Unavailable
from holdfast.trace.share.taxii import MEDIA_TYPE

_SECONDS = 30.0
_ANSWER_BYTES_MOST = 64 * 2**20
_PAGES_MOST = 10_000
_ADDED_AT_ONCE = 500


class TaxiiServerRefused(Unavailable):
    """The TAXII server did not answer as the standard says. Look at the detail; ask its operator about your access."""

    code = "taxii-server-refused"


@dataclass(frozen=True, slots=True)
class Page:
    """Objects that were added, and where to go on from the next time."""

    objects: tuple[dict[str, Any], ...]
    added_last: str
    """The moment of the newest, as the server has it; empty where there was none."""


class TaxiiClient:
    """One API root, with one peer's access."""

    def __init__(self, root_url: str, name: str, token: str, verify: str | bool = True) -> None:  # noqa: FBT001, FBT002  as httpx has it: a file of certificates, or whether to check
        """`verify`: a file of certificates to trust instead of the system's."""
        self._root = root_url.rstrip("/")
        self._http = httpx.Client(
            auth=(name, token), headers={"accept": MEDIA_TYPE}, timeout=_SECONDS, follow_redirects=False, verify=verify
        )

    def __enter__(self) -> TaxiiClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of its connections."""
        self._http.close()

    def collections(self) -> list[dict[str, Any]]:
        """What may be read or added to. Raises `TaxiiServerRefused`."""
        found = self._ask("GET", "/collections/")[0].get("collections", [])
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    def objects(self, collection: str, added_after: str = "") -> Page:
        """All objects added after a moment, page by page. Raises `TaxiiServerRefused`."""
        found: list[dict[str, Any]] = []
        last = added_after
        for body, headers in self._pages(collection, added_after):
            rows = body.get("objects", [])
            found += [each for each in rows if isinstance(each, dict)] if isinstance(rows, list) else []
            last = headers.get("x-taxii-date-added-last", last)
        return Page(tuple(found), last)

    def _pages(self, collection: str, added_after: str) -> Iterator[tuple[dict[str, Any], httpx.Headers]]:
        query = {"added_after": added_after} if added_after else {}
        for _ in range(_PAGES_MOST):
            body, headers = self._ask("GET", f"/collections/{collection}/objects/", query=query)
            yield body, headers
            if not body.get("more") or not body.get("next"):
                return
            query = query | {"next": str(body["next"])}
        raise TaxiiServerRefused("it never comes to an end")

    def add(self, collection: str, objects: Sequence[Mapping[str, Any]]) -> list[str]:
        """Add objects; what the server did not take, each with its reason. Raises `TaxiiServerRefused`."""
        refused = []
        for start in range(0, len(objects), _ADDED_AT_ONCE):
            envelope = {"objects": list(objects[start : start + _ADDED_AT_ONCE])}
            status, _ = self._ask("POST", f"/collections/{collection}/objects/", envelope=envelope)
            failures = status.get("failures", [])
            refused += [f"{each.get('id')}: {each.get('message', '')}" for each in failures if isinstance(each, dict)]
        return refused

    def _ask(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, envelope: object = None
    ) -> tuple[dict[str, Any], httpx.Headers]:
        content = json.dumps(envelope).encode() if envelope is not None else None
        headers = {"content-type": MEDIA_TYPE} if content is not None else {}
        try:
            with self._http.stream(
                method, self._root + path, params=dict(query or {}), content=content, headers=headers
            ) as reply:
                body = b"".join(_bounded(reply))
                answered, status = reply.headers, reply.status_code
        except httpx.HTTPError as error:
            raise TaxiiServerRefused(f"{method} {path}: {type(error).__name__}") from None
        if status not in (200, 202):
            raise TaxiiServerRefused(f"{method} {path}: HTTP {status} {_title(body)}")
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            raise TaxiiServerRefused(f"{method} {path}: not JSON") from None
        if not isinstance(found, dict):
            raise TaxiiServerRefused(f"{method} {path}: not an object")
        return found, answered


def _bounded(reply: httpx.Response) -> Iterator[bytes]:
    size = 0
    for part in reply.iter_bytes():
        size += len(part)
        if size > _ANSWER_BYTES_MOST:
            raise TaxiiServerRefused(f"an answer of more than {_ANSWER_BYTES_MOST} bytes")
        yield part


def _title(body: bytes) -> str:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    return str(found.get("title", ""))[:200] if isinstance(found, dict) else ""
