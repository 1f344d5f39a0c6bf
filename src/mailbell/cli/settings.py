"""`mailbell settings`: every setting, from the structs themselves. docs/settings.md is what it prints."""

import json
import textwrap
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from msgspec.structs import FieldInfo

INTRODUCTION = """\
# Settings

One TOML file: `mailbell serve -c FILE`. Without one, the defaults serve. `mailbell check -c FILE` says what
is wrong with a file, all of it in one go. This page is what `mailbell settings` prints.

- A **size** is a number of octets, or text such as `"64 KiB"`, `"25 MiB"`, `"10 GB"`.
- A **duration** is a number of seconds, or text such as `"500 ms"`, `"30s"`, `"10 min"`, `"2h"`, `"30d"`.
- Relative **paths** start at the folder of the file; `~` is the home directory.
- **The environment**: in any text, `${NAME}` stands for the variable NAME; that it is not set is an error.
  `${NAME:-default}` has a default, for a variable that is not set or is empty. A number or a boolean may come
  from the environment too: `port = "${PORT:-25}"`. `$${` is a plain `${`; any other `$` is itself.
- Names of I/O servers and sinks have letters (A-Z, a-z), digits, `_` and `-`.
"""


TOML = """\
# The settings of mailbell, each with its default. What begins with a # is not set.
# `mailbell check -c FILE` says what is wrong; `systemctl reload mailbell`, or SIGHUP, reads the file again.
# A size is a number of octets or "25 MiB"; a duration is a number of seconds or "30s", "10 min", "3d".
# ${NAME} stands for the environment variable NAME, ${NAME:-default} has a default.
"""

WIDTH = 110
NEEDED, NONE = "needed", "none"
"""In the place of a default: there is none, or it is that the setting is left out."""


class Row(NamedTuple):
    """A setting: its default as TOML writes it, what values it takes, and what it means."""

    key: str
    default: str
    values: str
    meaning: str


class Section(NamedTuple):
    """A table of the file; `tag` is the `type` that it needs, for a sink."""

    key: str
    tag: str | None
    about: str
    rows: list[Row]


@click.command()
@click.option("--toml", "as_toml", is_flag=True, help="As a TOML file, each with its default.")
def settings(as_toml: bool) -> None:
    """Print all settings and their meaning, as Markdown."""
    click.echo(toml() if as_toml else markdown(), nl=False)


def markdown() -> str:
    """Make the page."""
    return INTRODUCTION + "".join(chain.from_iterable(map(_table, _all())))


def toml() -> str:
    """Make the file. It is a valid one, and says what the defaults say."""
    return TOML + "".join(chain.from_iterable(map(_lines, _all())))


def _table(section: Section) -> Iterator[str]:
    title = f"`[{section.key}]`" + (f' with `type = "{section.tag}"`' if section.tag else "")
    yield f"\n## {title if section.key else 'At the top of the file'}\n\n{section.about}\n"
    if section.rows:
        yield "\n| key | default | values | meaning |\n| --- | --- | --- | --- |\n"
    for row in section.rows:
        default = "needed" if row.default == NEEDED else f"`{row.default}`"
        cells = (f"`{row.key}`", default, row.values, row.meaning)
        yield f"| {' | '.join(each.replace('|', chr(92) + '|') for each in cells)} |\n"


def _lines(section: Section) -> Iterator[str]:
    """There is one I/O server by default, and no sink."""
    off = "# " if section.key.startswith("sinks.") else ""
    yield f"\n{_comment(section.about)}"
    if section.key:
        yield f"{off}[{section.key.replace('ioservers.NAME', 'ioservers.smtp')}]\n"
    if section.tag:
        yield f'{off}type = "{section.tag}"\n'
    for row in section.rows:
        mark = "# " if row.default in (NEEDED, NONE) else off
        value = f'"…"  # {row.default}' if row.default in (NEEDED, NONE) else row.default
        yield f"\n{_comment(f'{row.meaning} Values: {row.values}.')}{mark}{row.key} = {value}\n"


def _comment(text: str) -> str:
    lines = textwrap.wrap(text, WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    return "".join(f"# {line}\n" for line in lines)


def _all() -> Iterator[Section]:
    from mailbell.settings import ServiceSettings

    return _sections(ServiceSettings, "", "The data folder, and what holds for all.", None)


def _sections(struct: Any, key: str, about: str, base: object) -> Iterator[Section]:
    """Yield the section of a struct, then those of the structs inside it."""
    from msgspec.structs import fields

    from mailbell.settings import SinkSettings

    tag = struct.__struct_config__.tag
    rows, inner = [], []
    above = fields(SinkSettings) if tag else ()  # these have a section of their own
    for field in fields(struct)[len(above) :]:
        below = _structs(field, key)
        inner += below
        rows += [] if below else [_row(field, getattr(base, field.name, _default(field)))]
    yield Section(key, tag, about, rows)
    for each in inner:
        yield from _sections(*each)


def _structs(field: "FieldInfo", key: str) -> list[tuple[Any, str, str, object]]:
    """Return what to make a section of: the structs of a field that is a table, or a table of named ones."""
    from msgspec import inspect

    from mailbell.settings import SinkSettings

    key = f"{key}.{field.encode_name}".lstrip(".")
    info, about = _bare(inspect.type_info(field.type)), _meaning(field)
    if isinstance(info, inspect.DictType):
        info, key = _bare(info.value_type), f"{key}.NAME"
    kinds = info.types if isinstance(info, inspect.UnionType) else (info,)
    structs = [kind.cls for kind in kinds if isinstance(kind, inspect.StructType)]
    if any(issubclass(each, SinkSettings) for each in structs):
        structs.insert(0, SinkSettings)
    return [(each, key, about or str(each.__doc__), field.default) for each in structs]


def _default(field: "FieldInfo") -> object:
    from msgspec import NODEFAULT

    return field.default if field.default_factory is NODEFAULT else field.default_factory()


def _bare(info: Any) -> Any:
    from msgspec import inspect

    return info.type if isinstance(info, inspect.Metadata) else info


def _meaning(field: "FieldInfo") -> str:
    from msgspec import inspect

    schema = getattr(inspect.type_info(field.type), "extra_json_schema", None) or {}
    return str(schema.get("description", ""))


def _row(field: "FieldInfo", value: object) -> Row:
    from msgspec import inspect

    from mailbell.config import expected

    values = expected(inspect.type_info(field.type)).partition(" such as")[0]
    return Row(field.encode_name, NEEDED if field.required else _written(value), values, _meaning(field))


def _written(value: object) -> str:
    """A default as TOML writes it."""
    from mailbell.settings import Duration, Size

    match value:
        case None:
            return NONE
        case Size():
            return _in_units(value, {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10})
        case Duration():
            return _in_units(value, {"d": 86400, "h": 3600, "min": 60, "s": 1})
        case Path():
            return json.dumps(str(value))
        case tuple():
            return f"[{', '.join(map(_written, value))}]"
        case _:
            return json.dumps(value)


def _in_units(value: float, units: dict[str, int]) -> str:
    found = next((unit for unit, factor in units.items() if value and value % factor == 0), None)
    return f"{value:g}" if found is None else json.dumps(f"{value / units[found]:g} {found}")
