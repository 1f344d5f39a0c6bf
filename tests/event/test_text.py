"""Clean text, flowed text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.event.text import clean, unflow


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\r\nb\nc\rd", "a\nb\nc\nd"),
        ("a\r\r\nb", "a\nb"),
        ("a\r\rb", "a\n\nb"),
        ("a\0b\x07c\x7fd\x9fe\tf", "abcde\tf"),
        ("\x1b[1;31mALARM\x1b[0m \x1b", "ALARM "),
        ("Tür € 警報 😀", "Tür € 警報 😀"),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@given(st.text())
def test_clean_text_stays_clean_and_loses_no_letter(text: str) -> None:
    cleaned = clean(text)
    assert clean(cleaned) == cleaned or "\x1b" in text
    assert not re.search(r"[\0-\x08\x0b-\x1f\x7f-\x9f]", cleaned)
    assert cleaned.replace("\n", "") == re.sub(
        r"\x1b\[[0-9;]{0,20}[A-Za-z]|[\0-\x08\x0a-\x1f\x7f-\x9f]", "", text
    )


@pytest.mark.parametrize(
    ("flowed", "text"),
    [
        ("a \nb\n", "a b\n"),
        ("a\nb\n", "a\nb\n"),
        (" from\n  x\n", "from\n x\n"),
        ("> a \n> b\n>> c \nd", "> a b\n>> c \nd"),
        ("a \n-- \nme \nyou", "a \n-- \nme you"),
        ("a \n> b", "a \n> b"),
        (">a \n> b", "> a b"),
    ],
)
def test_flowed_lines_are_joined(flowed: str, text: str) -> None:
    assert unflow(flowed, delsp=False) == text


def test_delsp() -> None:
    assert unflow("门 \n开", delsp=True) == "门开"
