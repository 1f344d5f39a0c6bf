"""What is kept, and what is forgotten."""

from mailbell.newest import Newest


def test_the_oldest_goes() -> None:
    kept = Newest[str, int](2)
    for key in "abc":
        kept[key] = ord(key)
    assert list(kept) == ["b", "c"]


def test_what_is_set_again_is_the_newest() -> None:
    kept = Newest[str, int](2)
    for key in "abac":
        kept[key] = ord(key)
    assert list(kept) == ["a", "c"]
