"""openmined-psi behind five functions of bytes: the only module that touches the library.

The answer holds the answerer's whole set in encrypted form (`RAW`: exact, where Golomb or Bloom coding could count an
address too many), and the question's elements encrypted once more; without `opens` these come back sorted.
"""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import DecodeError
from private_set_intersection import python as psi

from holdfast.core.errors import BadInput

_NO_FALSE_HITS = 1e-9
"""Asked for by the library; `RAW` has none."""


class IntersectionMalformed(BadInput):
    """A message of the intersection protocol cannot be read. Ask the other side for the very file."""

    code = "intersection-malformed"


def question(key: bytes, elements: Sequence[str], *, opens: bool) -> bytes:
    """The asker's set, encrypted with his key of 32 bytes, in the order given."""
    made = psi.client.CreateFromKey(key, opens).CreateRequest(list(elements))
    return bytes(made.SerializeToString())


def size_of_question(request: bytes, *, opens: bool) -> int:
    """How many different elements were asked about. Raises `IntersectionMalformed`, also if it asks for too much."""
    read = psi.Request()
    _parse(read, request)
    if read.reveal_intersection is not opens:
        raise IntersectionMalformed("it asks to be told which, or does not")
    return len(set(read.encrypted_elements))


def answer(key: bytes, elements: Sequence[str], request: bytes, *, opens: bool) -> tuple[bytes, bytes]:
    """The answerer's set encrypted, and the question encrypted once more. Raises `IntersectionMalformed`."""
    read = psi.Request()
    _parse(read, request)
    server = psi.server.CreateFromKey(key, opens)
    try:
        setup = server.CreateSetupMessage(
            _NO_FALSE_HITS, len(read.encrypted_elements), list(elements), psi.DataStructure.RAW
        )
        response = server.ProcessRequest(read)
    except RuntimeError as error:
        raise IntersectionMalformed(str(error)[:200]) from None
    return bytes(setup.SerializeToString()), bytes(response.SerializeToString())


def size_of_setup(setup: bytes) -> int:
    """How many elements the answerer used. Raises `IntersectionMalformed` where it cannot be told."""
    read = psi.ServerSetup()
    _parse(read, setup)
    if read.WhichOneof("data_structure") != "raw":
        raise IntersectionMalformed("not the exact form")
    return len(set(read.raw.encrypted_elements))


def count(key: bytes, setup: bytes, response: bytes) -> int:
    """How many elements both have. Raises `IntersectionMalformed`."""
    read, answered = psi.ServerSetup(), psi.Response()
    _parse(read, setup)
    _parse(answered, response)
    try:
        return int(psi.client.CreateFromKey(key, False).GetIntersectionSize(read, answered))  # noqa: FBT003  positional only
    except RuntimeError as error:
        raise IntersectionMalformed(str(error)[:200]) from None


def which(key: bytes, setup: bytes, response: bytes, elements: Sequence[str]) -> tuple[str, ...]:
    """The elements that both have, of a pass that opens. Raises `IntersectionMalformed`."""
    read, answered = psi.ServerSetup(), psi.Response()
    _parse(read, setup)
    _parse(answered, response)
    try:
        places = psi.client.CreateFromKey(key, True).GetIntersection(read, answered)  # noqa: FBT003  positional only
    except RuntimeError as error:
        raise IntersectionMalformed(str(error)[:200]) from None
    if any(not 0 <= place < len(elements) for place in places):
        raise IntersectionMalformed("a place outside the set")
    return tuple(sorted(elements[place] for place in places))


def _parse(into: psi.Request | psi.Response | psi.ServerSetup, part: bytes) -> None:
    try:
        into.ParseFromString(part)
    except DecodeError as error:
        raise IntersectionMalformed(str(error)[:200]) from None
