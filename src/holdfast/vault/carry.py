"""Carries a file between machines that share no cable: as a file, or as a row of QR codes read in any order.

Each code says which part of how many it is, and of what: `HF2/5/<16 hex digits>/<Base32>` is part 2 of 5 of the
content whose SHA-256 begins so. That is a frame of our own, for Holdfast's own two machines: devices of others take
files here. All of it is in the alphabet of QR's alphanumeric mode, so Base32 costs no more than the bytes themselves.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import os
import re
from collections.abc import Iterable
from pathlib import Path

import segno

from holdfast.core.errors import BadInput, Conflict

PART_BYTES = 500
"""800 letters: a code of version 18, which a webcam reads off a screen and which fits one."""
PARTS_MAX = 200
CONTENT_BYTES_MAX = PART_BYTES * PARTS_MAX
"""The largest draft by far is below it: fifty inputs without their transactions are 25,000 bytes."""
_PART = re.compile(r"HF([1-9]\d{0,2})/([1-9]\d{0,2})/([0-9A-F]{16})/([A-Z2-7]+)", re.ASCII)


class ContentTooLarge(BadInput):
    """That is more than a row of codes can carry. Carry it as a file, or make drafts of fewer inputs."""

    code = "content-too-large"


class PartMalformed(BadInput):
    """A scanned text is not a part that Holdfast wrote, or was read wrongly. Scan that code again."""

    code = "part-malformed"


class PartsMixed(BadInput):
    """The scanned parts belong to more than one content. Start again, with the codes of one."""

    code = "parts-mixed"


class PartsMissing(BadInput):
    """Not all parts have been scanned. Scan the ones that the detail names; the order does not matter."""

    code = "parts-missing"


class FileExists(Conflict):
    """A file of that name is there already, and another draft may be in it. Take another name or move it away."""

    code = "file-exists"


def parts_of(content: bytes) -> list[str]:
    """The texts to show as codes. Raises `ContentTooLarge`, also for nothing at all."""
    if not 0 < len(content) <= CONTENT_BYTES_MAX:
        raise ContentTooLarge(f"{len(content)} bytes; 1 to {CONTENT_BYTES_MAX} can be carried")
    chunks = [content[place : place + PART_BYTES] for place in range(0, len(content), PART_BYTES)]
    stamp = _stamp(content)
    return [
        f"HF{number}/{len(chunks)}/{stamp}/{base64.b32encode(chunk).decode().rstrip('=')}"
        for number, chunk in enumerate(chunks, 1)
    ]


def join(scanned: Iterable[str]) -> bytes:
    """The content of scanned texts, in any order, each any number of times.

    Raises `PartMalformed`, `PartsMixed`, `PartsMissing`.
    """
    found: dict[int, bytes] = {}
    rows = set()
    for text in scanned:
        number, row, chunk = _part(text.strip())
        rows.add(row)
        if found.setdefault(number, chunk) != chunk:
            raise PartsMixed(f"part {number} was scanned twice, with different content")
    if len(rows) != 1:
        raise PartsMixed(f"{len(rows)} different contents") if rows else PartsMissing("nothing was scanned")
    ((total, stamp),) = rows
    missing = [str(number) for number in range(1, total + 1) if number not in found]
    if missing:
        raise PartsMissing(f"part {', '.join(missing)} of {total}")
    content = b"".join(found[number] for number in range(1, total + 1))
    if _stamp(content) != stamp:
        raise PartMalformed(f"the parts together are not {stamp}")
    return content


def codes(content: bytes) -> list[segno.QRCode]:
    """The content as QR codes, one after the other. Raises `ContentTooLarge`."""
    return [segno.make_qr(part, error="m", mode="alphanumeric", boost_error=False) for part in parts_of(content)]


def terminal(content: bytes) -> list[str]:
    """Each code as text for a terminal of at least 100 columns. Raises `ContentTooLarge`."""
    drawn = []
    for code in codes(content):
        canvas = io.StringIO()
        code.terminal(out=canvas, compact=True)
        drawn.append(canvas.getvalue())
    return drawn


def write_images(content: bytes, target: Path) -> list[Path]:
    """Writes each code as an image beside `target`, in the form that its ending names (svg, png): `draft-2-of-5.svg`.

    Raises `ContentTooLarge`, `FileExists`.
    """
    made = codes(content)
    paths = [target.with_stem(f"{target.stem}-{number}-of-{len(made)}") for number in range(1, len(made) + 1)]
    for path, code in zip(paths, made, strict=True):
        image = io.BytesIO()
        code.save(image, kind=target.suffix.removeprefix("."), scale=4)
        write_new(path, image.getvalue())
    return paths


def write_new(path: Path, content: bytes) -> None:
    """Writes a file that was not there, and makes it durable. Raises `FileExists`."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        raise FileExists(str(path)) from None
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _part(text: str) -> tuple[int, tuple[int, str], bytes]:
    match = _PART.fullmatch(text)
    if match is None or not int(match[1]) <= int(match[2]) <= PARTS_MAX:
        raise PartMalformed(f"{text[:60]!r}")
    try:
        chunk = base64.b32decode(match[4] + "=" * (-len(match[4]) % 8))
    except binascii.Error:
        raise PartMalformed(f"{text[:60]!r}") from None
    return int(match[1]), (int(match[2]), match[3]), chunk


def _stamp(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16].upper()
