"""What differs between two settings, for the log of a reload; secrets are not shown. Pure."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from mailbell.masking import by_name, is_secret, masked
from mailbell.settings import Settings


class Change(msgspec.Struct, frozen=True):
    """One key whose value differs; `text` says how."""

    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.key}: {self.text}"


def changes(old: object, new: object, key: str = "") -> Iterator[Change]:
    """Yield the differences, each with the whole key as it stands in the file."""
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _of_tables(old, new, key)
    elif isinstance(old, Settings) and type(old) is type(new):
        yield from _of_tables(by_name(old), by_name(new), key)
    elif is_secret(key):
        yield Change(key, "changed (not shown: it is a secret)")
    else:
        yield Change(key, f"{_text(old, key)} → {_text(new, key)}")


def _of_tables(old: Mapping[str, object], new: Mapping[str, object], key: str) -> Iterator[Change]:
    for name in [*old, *(each for each in new if each not in old)]:
        inner = f"{key}.{name}" if key else name
        if name not in new:
            yield Change(inner, "removed")
        elif name not in old:
            yield Change(inner, "added")
        else:
            yield from changes(old[name], new[name], inner)


def _text(value: object, key: str) -> str:
    match value:
        case None:
            return "none"
        case tuple():
            return f"[{', '.join(_text(each, key) for each in value)}]"
        case Settings():
            return str(value.__struct_config__.tag or "a table")
        case float():
            return f"{value:g}"
        case Path():
            return str(value)
        case _:
            return masked(value, key)
