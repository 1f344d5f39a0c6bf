"""Templates: text with Python's format fields over the full form of an event, and no code.

`{subject}`, `{source.ip}`, `{from.address}`, `{envelope.rcpt_to[0].local}`, `{headers[X-Priority]}`,
`{attachments[0].filename}`, `{text:.100}`. A field is a path through the schema, nothing else: it is
walked along the types when the template is made, so what is unknown is told then. On an address, `local`
and `domain` are what stands before and after its last `@`. What an event does not have (null, an index past
the end) renders as nothing.
"""

import difflib
import re
import string
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

from msgspec import inspect

from mailbell.event.schema import Address, HeaderField, MailEvent

Step = Callable[[Any], Any]

_STEP = re.compile(r"\.([^.\[\]]+)|\[([^\[\]]+)\]")
_NUMBER = re.compile(r"[0-9]{1,4}")
_NO_SPEC = re.compile(r"[0-9]{5}|[{]|c$")


class Template:
    """A template, checked: ValueError says which field can't be had, and what there is."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._pieces: tuple[str | _Field, ...] = tuple(_pieces(text))

    def __repr__(self) -> str:
        return f"<Template {self.text!r}>"

    def render(self, event: MailEvent, quote: Callable[[str], str] = str) -> str:
        """Fill in the fields; `quote` makes what each brings fit for the place where it stands."""
        return "".join(
            piece if isinstance(piece, str) else quote(piece.render(event)) for piece in self._pieces
        )


class _Field:
    """One `{…}`: the way to its value, and how to write it."""

    def __init__(self, path: str, spec: str) -> None:
        kind, self._steps = _walk(path)
        if not _printable(kind):
            raise ValueError(f"{{{path}}} is not one value; {_inside(kind, path)}")
        self._spec = spec
        _check_spec(path, spec, kind)

    def render(self, event: MailEvent) -> str:
        value: Any = event
        for step in self._steps:
            value = step(value)
            if value is None:
                return ""
        return format(_plain(value), self._spec)


def _pieces(text: str) -> Iterator[str | _Field]:
    for literal, path, spec, conversion in string.Formatter().parse(text):
        if literal:
            yield literal
        if conversion:
            raise ValueError(
                f"{{{path}!{conversion}}}: there are no conversions here; leave out !{conversion}"
            )
        if path is not None:
            yield _Field(path, spec or "")


def _walk(path: str) -> tuple[inspect.Type, Sequence[Step]]:
    kind, at, steps = _event_type(), 0, []
    dotted = f".{path}"
    while at < len(dotted):
        found = _STEP.match(dotted, at)
        if found is None:
            raise ValueError(
                f"{{{path}}} is not a field; one looks like {{subject}}, {{envelope.rcpt_to[0]}}"
            )
        name, index = found.groups()
        step = _by_name(kind, name) if index is None else _by_index(kind, index)
        if step is None:
            raise ValueError(f"{{{path}}}: there is no {name or index}; {_inside(kind, dotted[1:at], name)}")
        kind, at = step[0], found.end()
        steps.append(step[1])
    return kind, steps


def _by_name(kind: inspect.Type, name: str) -> tuple[inspect.Type, Step] | None:
    if isinstance(kind, inspect.StructType):
        for field in kind.fields:
            if field.encode_name == name:
                return _bare(field.type), attrgetter(field.name)
    if name in _PARTS and (isinstance(kind, inspect.StrType) or _is(kind, Address)):
        return inspect.StrType(), lambda value: _PARTS[name](_plain(value))
    return None


def _by_index(kind: inspect.Type, index: str) -> tuple[inspect.Type, Step] | None:
    if not isinstance(kind, inspect.VarTupleType):
        return None
    if _NUMBER.fullmatch(index):
        number = int(index)
        return _bare(kind.item_type), lambda value: value[number] if number < len(value) else None
    if _is(kind.item_type, HeaderField):
        lower = index.lower()
        return inspect.StrType(), lambda value: next(
            (e.value for e in value if e.name.lower() == lower), None
        )
    return None


def _local(address: str) -> str:
    local, at, rest = address.rpartition("@")
    return local if at else rest


def _domain(address: str) -> str:
    return address.rpartition("@")[2] if "@" in address else ""


_PARTS: dict[str, Callable[[str], str]] = {"local": _local, "domain": _domain}


def _printable(kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.VarTupleType):
        return not isinstance(_bare(kind.item_type), inspect.StructType) or _is(kind.item_type, Address)
    return not isinstance(kind, inspect.StructType) or issubclass(kind.cls, Address | HeaderField)


def _plain(value: Any) -> Any:
    """Return the text, or the number, that stands for a value."""
    match value:
        case bool():
            return str(value).lower()
        case Address():
            return value.address
        case HeaderField():
            return value.value
        case tuple():
            return ", ".join(map(_plain, value))
        case _:
            return value


def _check_spec(path: str, spec: str, kind: inspect.Type) -> None:
    try:
        if _NO_SPEC.search(spec):
            raise ValueError("no field in a format, no character by its number, no width above 9999")
        format(0 if isinstance(kind, inspect.IntType) else "", spec)
    except ValueError as error:
        raise ValueError(f"{{{path}:{spec}}}: {error}; {{{path}:.100}} is the first 100 characters") from None


def _inside(kind: inspect.Type, path: str, name: str | None = None) -> str:
    """What a path may go on with."""
    match kind:
        case inspect.StructType():
            known = [field.encode_name for field in kind.fields]
            near = difflib.get_close_matches(name or "", known, 1)
            return f"did you mean {near[0]}?" if near else f"{path or 'an event'} has {', '.join(known)}"
        case inspect.VarTupleType(item_type=inspect.StructType() as item):
            return f"it is a list: {{{path}[0].{item.fields[0].encode_name}}} is of its first"
        case inspect.VarTupleType():
            return f"it is a list: {{{path}[0]}} is its first"
        case _:
            return f"{path} is a value; end the field there"


def _bare(kind: inspect.Type) -> inspect.Type:
    """Without Metadata and without null."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    if isinstance(kind, inspect.UnionType):
        return next(_bare(each) for each in kind.types if not isinstance(each, inspect.NoneType))
    return kind


def _is(kind: inspect.Type, struct: type) -> bool:
    return isinstance(kind, inspect.StructType) and kind.cls is struct


@cache
def _event_type() -> inspect.Type:
    return inspect.type_info(MailEvent)
