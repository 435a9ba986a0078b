"""Between machines without a cable: what was shown is what arrives, whatever the order, and nothing else does."""

from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from holdfast.vault.carry import (
    CONTENT_BYTES_MAX,
    PART_BYTES,
    ContentTooLarge,
    FileExists,
    PartMalformed,
    PartsMissing,
    PartsMixed,
    codes,
    join,
    parts_of,
    terminal,
    write_images,
    write_new,
)

CONTENT = bytes(range(256)) * 5
"""Three parts."""


@given(st.binary(min_size=1, max_size=4000), st.randoms(use_true_random=False))
def test_parts_come_together_in_any_order_and_any_number_of_times(content: bytes, shuffle):
    parts = parts_of(content)
    scanned = parts + [f" {part}\n" for part in parts[::2]]
    shuffle.shuffle(scanned)
    assert join(scanned) == content


def test_every_part_says_which_of_how_many_it_is_and_of_what():
    assert [part.split("/")[:2] for part in parts_of(CONTENT)] == [["HF1", "3"], ["HF2", "3"], ["HF3", "3"]]
    assert len({part.split("/")[2] for part in parts_of(CONTENT)}) == 1


def test_the_largest_content_is_carried_and_a_larger_one_is_not():
    assert join(parts_of(bytes(CONTENT_BYTES_MAX))) == bytes(CONTENT_BYTES_MAX)
    for content in (bytes(CONTENT_BYTES_MAX + 1), b""):
        with pytest.raises(ContentTooLarge):
            parts_of(content)


def test_a_missing_part_is_named():
    with pytest.raises(PartsMissing, match="part 2 of 3"):
        join([parts_of(CONTENT)[0], parts_of(CONTENT)[2]])
    with pytest.raises(PartsMissing):
        join([])


def test_parts_of_two_contents_are_not_joined():
    other = parts_of(CONTENT + b"x")
    with pytest.raises(PartsMixed):
        join([*parts_of(CONTENT)[:2], other[2]])
    twice = parts_of(CONTENT)[0]
    with pytest.raises(PartsMixed):
        join([*parts_of(CONTENT), twice[:-1] + ("A" if twice[-1] != "A" else "B")])


@pytest.mark.parametrize(
    "text",
    ["", "HF1/3", "HF0/3/", "HF4/3/{stamp}/AAAA", "HF1/201/{stamp}/AAAA", "hf1/1/{stamp}/AAAA", "HF1/1/{stamp}/A",
     "HF1/1/{stamp}/a", "bitcoin:bc1q", "HF1/1/{stamp}/AAAA1"],
)  # fmt: skip
def test_a_text_that_is_no_part_is_refused(text: str):
    with pytest.raises(PartMalformed):
        join([text.format(stamp="0" * 16)])


def test_a_letter_read_wrongly_is_noticed():
    (part,) = parts_of(b"one part")
    with pytest.raises(PartMalformed):
        join([part[:-3] + ("A" if part[-3] != "A" else "B") + part[-2:]])


def test_codes_are_alphanumeric_and_no_larger_than_a_webcam_reads():
    made = codes(bytes(PART_BYTES * 2))
    assert [code.mode for code in made] == ["alphanumeric"] * 2
    assert max(code.version for code in made) <= 19
    assert {code.error for code in made} == {"M"}


def test_a_terminal_shows_every_code():
    drawn = terminal(CONTENT)
    assert len(drawn) == 3
    assert all(max(map(len, code.splitlines())) <= 120 for code in drawn)


@pytest.mark.parametrize(("ending", "magic"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_images_are_written_one_a_code_and_never_over_another(tmp_path: Path, ending: str, magic: bytes):
    paths = write_images(CONTENT, tmp_path / f"draft.{ending}")
    assert [path.name for path in paths] == [f"draft-{number}-of-3.{ending}" for number in (1, 2, 3)]
    assert all(path.read_bytes().startswith(magic) for path in paths)
    with pytest.raises(FileExists):
        write_images(CONTENT, tmp_path / f"draft.{ending}")


def test_a_file_is_never_overwritten(tmp_path: Path):
    write_new(tmp_path / "draft", b"one")
    with pytest.raises(FileExists):
        write_new(tmp_path / "draft", b"two")
    assert (tmp_path / "draft").read_bytes() == b"one"
