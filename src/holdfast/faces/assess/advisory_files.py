"""The advisory database on disk: a directory of OSV `*.json` files and `*.zip` archives of them, replaced whole.

What is fetched is read to its end before it takes the old one's place: half a database would say that all is well.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec

from holdfast.core.errors import BadInput, Unavailable
from holdfast.faces.assess.advisories import Advisories, OsvEntry

NOTE = "updated.toml"
DOWNLOAD_BYTES_MAX = 1_000_000_000
ENTRY_BYTES_MAX = 5_000_000
ENTRIES_MAX = 1_000_000
SECONDS_MAX = 60
"""Between two pieces of an answer."""


class AdvisoriesUnusable(BadInput):
    """What was given holds no OSV entry, or too much. Give a directory of OSV JSON files, or an archive of them."""

    code = "advisories-unusable"


class AdvisoriesUnreachable(Unavailable):
    """The advisories could not be fetched; the old ones stay. Try again, or carry them here and name the directory."""

    code = "advisories-unreachable"


def read(directory: Path) -> Advisories | None:
    """The database; None where there is none. Files that are no entries are named in it, not passed over."""
    files = sorted([*directory.glob("*.json"), *directory.glob("*.zip")]) if directory.is_dir() else []
    if not files:
        return None
    entries: list[OsvEntry] = []
    unreadable: list[str] = []
    for name, data in _documents(files):
        try:
            entries.append(msgspec.json.decode(data, type=OsvEntry))
        except msgspec.DecodeError:
            unreadable.append(name)
    return Advisories(tuple(entries), _updated_at(directory, files), tuple(unreadable))


def update(directory: Path, source: str, now: datetime) -> Advisories:
    """Put the database from a directory, an archive or an https URL into the place of the old one.

    Raises `AdvisoriesUnusable`, `AdvisoriesUnreachable`; the old one then stays.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".advisories-") as place:
        fresh = Path(place) / "fresh"
        fresh.mkdir(mode=0o755)
        _fetch(source, fresh)
        (fresh / NOTE).write_text(f"updated_at = {now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}\n", encoding="utf-8")
        found = read(fresh)
        if found is None or not found.entries:
            raise AdvisoriesUnusable(source[:200])
        if directory.exists():
            directory.rename(Path(place) / "old")
        fresh.rename(directory)
    return found


def _fetch(source: str, fresh: Path) -> None:
    if source.startswith(("https://", "http://127.0.0.1:")):
        _download(source, fresh / "all.zip" if source.endswith(".zip") else fresh / "entry.json")
        return
    given = Path(source)
    files = [given] if given.is_file() else sorted([*given.glob("*.json"), *given.glob("*.zip")])
    for file in files:
        shutil.copyfile(file, fresh / file.name)


def _download(url: str, path: Path) -> None:
    try:
        with httpx.stream("GET", url, timeout=SECONDS_MAX, follow_redirects=False) as answer, path.open("wb") as file:
            answer.raise_for_status()
            for piece in answer.iter_bytes():
                file.write(piece)
                if file.tell() > DOWNLOAD_BYTES_MAX:
                    raise AdvisoriesUnusable(f"more than {DOWNLOAD_BYTES_MAX} bytes")
    except httpx.HTTPError as error:
        raise AdvisoriesUnreachable(f"{url}: {type(error).__name__}") from None


def _documents(files: list[Path]) -> Iterator[tuple[str, bytes]]:
    """Every file's name and bytes, those inside archives too."""
    for path in files:
        if path.suffix == ".json":
            yield path.name, path.read_bytes()
            continue
        try:
            with zipfile.ZipFile(path) as archive:
                members = [one for one in archive.infolist() if one.filename.endswith(".json")]
                for member in members[:ENTRIES_MAX]:
                    is_small = member.file_size <= ENTRY_BYTES_MAX
                    yield member.filename, archive.read(member) if is_small else b""
        except zipfile.BadZipFile:
            yield path.name, b""


def _updated_at(directory: Path, files: list[Path]) -> datetime:
    """By our own note; of a directory that was filled by hand the newest file's date."""
    try:
        note = msgspec.toml.decode((directory / NOTE).read_bytes(), type=dict[str, datetime])
        return note["updated_at"]
    except (OSError, KeyError, msgspec.DecodeError):
        return datetime.fromtimestamp(max(one.stat().st_mtime for one in files), UTC)
