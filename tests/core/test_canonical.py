"""One text for one value: what RFC 8785 prescribes, and what is refused because it has two."""

import json

import pytest
from hypothesis import given, strategies as st

from holdfast.core.canonical import INTEGER_MAX, DocumentNotCanonical, Json, canonical, parse

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-INTEGER_MAX, INTEGER_MAX)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("ab\u20ac\U0001f600\ufb33\x0f", max_size=3), inner)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_every_value_has_one_text_and_the_text_gives_the_value_back(value: Json) -> None:
    assert parse(canonical(value)) == value


def test_keys_are_sorted_by_utf16_as_in_rfc_8785_section_3_2_3() -> None:
    # The section's own example: the order of these seven keys.
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    assert list(json.loads(canonical(dict.fromkeys(keys, 0)))) == [
        "\r",
        "1",
        "\u0080",
        "\u00f6",
        "\u20ac",
        "\U0001f600",
        "\ufb33",
    ]


def test_strings_are_written_as_in_rfc_8785_section_3_2_2_2() -> None:
    assert canonical('\u20ac$\u000f\nA\'B"\\\\"/') == b'"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}', '{"b":1,"a":1}', '{"a": 1}', '{"a":1}\n', '{"a":1.0}', '{"a":1e2}', '{"a":-0}', '{"a":NaN}',
        '"\\u0041"', '"\\/"', "[1,]", "", "nul", '{"a":9007199254740992}', "[" * 100_000, '"\\ud800"',
        '{"a":' * 40 + "1" + "}" * 40,
    ],
)  # fmt: skip
def test_a_text_with_a_second_form_is_refused(text: str) -> None:
    with pytest.raises(DocumentNotCanonical):
        parse(text.encode())


@pytest.mark.parametrize("value", [1.5, 2**53, -(2**53), b"bytes", {"a": object()}])
def test_a_value_that_cannot_be_written_exactly_is_refused(value: object) -> None:
    with pytest.raises(DocumentNotCanonical):
        canonical(value)  # type: ignore[arg-type]  # that is the test


def test_a_document_without_end_is_refused_before_it_is_read() -> None:
    with pytest.raises(DocumentNotCanonical):
        parse(b'"' + b"x" * 70_000 + b'"')
