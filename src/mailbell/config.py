"""The TOML file and the environment → settings. All problems in one go, each with file, key and remedy.

Text in the file may refer to the environment: `${NAME}`, or `${NAME:-default}` where the default also stands
in for an empty variable, as in a shell. `$${` is a plain `${`; any other `$` is itself, so passwords and
regular expressions need no escaping. Relative paths start at the folder of the file.

msgspec stops at the first error, and its messages don't speak TOML: so each key is converted on its own here,
against the type of the field that it fills.
"""

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, cast, get_args, get_origin

import msgspec
from msgspec import inspect
from msgspec.structs import FieldInfo

from mailbell.errors import ConfigError, StartupError
from mailbell.event.template import Template
from mailbell.login.passwords import parse
from mailbell.mail import IMPORTED
from mailbell.masking import NAME, join, masked, shown
from mailbell.settings import IoServerSettings, ServiceSettings, SinkSettings, dec_hook

_BAD = object()
"""In the place of a value that can't be used; the problem is noted."""

_REFERENCE = re.compile(r"(\$\$\{)|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?")
_TOML_PLACE = re.compile(r"(.*) \(at (.*)\)", re.DOTALL)
_TOML_REMEDIES = {
    "Invalid value": '; text stands in double quotes: key = "text"',
    "Unescaped '\\'": "; a path with \\ stands in single quotes: 'C:\\mail'",
    "Cannot overwrite": "; this key stands in the file twice",
}


def load(
    path: Path | None,
    *,
    port: int | None = None,
    data: Path | None = None,
    listen: str | None = None,
    scripts: Sequence[Path] = (),
) -> ServiceSettings:
    """Read the settings from a TOML file, or the defaults without one; ConfigError lists every problem.

    `port` goes over the port of the only I/O server, `data` over the data folder, `listen` over that of the
    web server; `scripts` are sinks that come on top. Where the file has no I/O server there is one named
    `smtp`.
    """
    reader = _Reader("mailbell" if path is None else str(path), Path() if path is None else path.parent)
    tree = {} if path is None else _parse(path)
    tree.setdefault("data", str(ServiceSettings().data))  # a relative path like any other
    if tree.get("ioservers", {}) == {}:
        tree["ioservers"] = {"smtp": {}}
    if port is not None:
        reader.set_port(tree["ioservers"], port)
    if data is not None:
        tree["data"] = _literal(data)
    if listen is not None and isinstance(tree.setdefault("web", {}), dict):
        tree["web"]["listen"] = listen
    for script in scripts:
        reader.add_script(tree.setdefault("sinks", {}), script)
    settings = reader.table(tree, (ServiceSettings,), "")
    if reader.problems:
        raise ConfigError(reader.problems)
    return cast("ServiceSettings", settings)


def expected(info: inspect.Type) -> str:
    """What values a type takes, in words."""
    match info:
        case inspect.Metadata():
            return expected(info.type)
        case inspect.IntType() | inspect.FloatType():
            return _range(info)
        case inspect.BoolType():
            return "true or false"
        case inspect.StrType():
            return f"text of the form {info.pattern}" if info.pattern else "text"
        case inspect.LiteralType():
            return " or ".join(shown(each) for each in info.values)
        case inspect.CustomType():
            return getattr(info.cls, "expected", "a path")
        case inspect.VarTupleType() | inspect.ListType():
            return f"a list of {expected(info.item_type)}"
        case inspect.UnionType():
            return " or ".join(
                expected(each) for each in info.types if not isinstance(each, inspect.NoneType)
            )
        case _:
            return "a table"


def _range(info: inspect.IntType | inspect.FloatType) -> str:
    if info.ge is not None and info.le is not None:
        return f"{info.ge} to {info.le}"
    kind = "a whole number" if isinstance(info, inspect.IntType) else "a number"
    return kind if info.ge is None else f"{kind} from {info.ge} up"


class _Reader:
    """Walks the parsed file along the settings structs and notes what is wrong on the way."""

    def __init__(self, name: str, folder: Path) -> None:
        self.problems: list[str] = []
        self._name = name
        self._folder = folder.absolute()

    def set_port(self, ioservers: Any, port: int) -> None:
        """Put the port of the command line in the place of that of the only I/O server."""
        if not isinstance(ioservers, dict) or not all(isinstance(each, dict) for each in ioservers.values()):
            return  # table() has the complaint
        if len(ioservers) > 1:
            self._bad("--port", f"there are {len(ioservers)} I/O servers; set their ports in the file")
        else:
            next(iter(ioservers.values()))["port"] = port

    def add_script(self, sinks: Any, path: Path) -> None:
        """Put a sink of the command line, named like its file, beside those of the file."""
        name = re.sub(r"[^A-Za-z0-9_-]", "-", path.stem)
        if not isinstance(sinks, dict):
            return  # table() has the complaint
        if name in sinks:
            self._bad("--script", f"there is a sink {name} already; give the file {path.name} another name")
        else:
            sinks[name] = {"type": "script", "path": _literal(path)}

    def table(
        self, value: object, kinds: Sequence[type[msgspec.Struct]], key: str, default: object = None
    ) -> object:
        """Read a table into the struct that its tag names, or into the only kind there is.

        What the table leaves out is as in `default`, if that is such a struct.
        """
        if not isinstance(value, dict):
            return self._bad(key, f"expected a table, got {masked(value, key)}; write [{key}]")
        kind = self._kind(value, kinds, key)
        if kind is None:
            return _BAD
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        tag = kind.__struct_config__.tag_field
        values = msgspec.structs.asdict(default) if isinstance(default, kind) else {}
        for name, item in value.items():
            if field := fields.get(name):
                values[field.name] = self._value(item, field.type, join(key, name), field.default)
            elif name != tag:
                self._bad(join(key, name), _unknown(name, [*fields, *([tag] if tag else [])]))
        missing = [field for field in fields.values() if field.required and field.name not in values]
        for field in missing:
            self._bad(join(key, field.encode_name), _missing(field))
        if missing or _BAD in values.values():
            return _BAD
        try:
            return kind(**values)
        except ValueError as error:  # __post_init__: keys that don't go together
            return self._bad(key, str(error))

    def _kind(
        self, value: Mapping[str, Any], kinds: Sequence[type[msgspec.Struct]], key: str
    ) -> type[msgspec.Struct] | None:
        tag = kinds[0].__struct_config__.tag_field
        if tag is None:
            return kinds[0]
        by_tag = {str(kind.__struct_config__.tag): kind for kind in kinds}
        choice = " or ".join(shown(each) for each in by_tag)
        given = value.get(tag)
        if given is None:
            self._bad(join(key, tag), f"missing; expected {choice}")
            return None
        try:
            found = by_tag.get(str(given)) or _third_party(str(given), kinds[0])
        except ValueError as error:
            self._bad(join(key, tag), str(error))
            return None
        if found is None:
            near = _did_you_mean(given, by_tag)
            self._bad(join(key, tag), f"expected {choice}, got {shown(given)}{near}")
        return found

    def _value(self, value: object, kind: Any, key: str, default: object = None) -> object:
        bare = _bare(kind)
        origin, args = get_origin(bare), get_args(bare)
        if structs := _structs(bare):
            return self.table(value, structs, key, default)
        if origin is dict:
            return self._dict(value, args[1], key)
        if origin is tuple:
            return self._list(value, kind, args[0], key)
        if len(args) == 2 and NoneType in args:  # TOML has no null: a key that may be left out
            return self._value(value, args[args[0] is NoneType], key)
        return self._leaf(value, kind, key)

    def _dict(self, value: object, kind: Any, key: str) -> object:
        if not isinstance(value, dict):
            return self._bad(key, f"expected a table, got {masked(value, key)}; write [{key}]")
        named = bool(_structs(_bare(kind)))
        items: dict[str, object] = {}
        for name, item in value.items():
            items[name] = self._value(item, kind, join(key, name))
            if named and not NAME.fullmatch(name):
                items[name] = self._bad(join(key, name), "a name has letters of ASCII, digits, _ and - only")
        if kind is IoServerSettings and IMPORTED in items:
            items[IMPORTED] = self._bad(
                join(key, IMPORTED), "this ID is that of imported mail; choose another"
            )
        if kind is IoServerSettings:
            self._check_ports(
                {id_: each for id_, each in items.items() if isinstance(each, IoServerSettings)}
            )
        return _BAD if _BAD in items.values() else items

    def _list(self, value: object, kind: Any, item_kind: Any, key: str) -> object:
        if isinstance(value, str):  # a list of one may be written without its brackets
            value = [value]
        if not isinstance(value, list):
            return self._bad(key, f"expected a list, got {masked(value, key)}; write it in brackets: [ … ]")
        items = tuple(self._value(item, item_kind, f"{key}[{index}]") for index, item in enumerate(value))
        least = getattr(_metadata(kind).type, "min_length", None) or 0
        if len(items) < least:
            return self._bad(key, f"expected a list of {least} or more, got {len(items)}")
        return _BAD if _BAD in items else items

    def _leaf(self, written: object, kind: Any, key: str) -> object:
        value = self._expand(written, key) if isinstance(written, str) else written
        if value is _BAD:
            return _BAD
        try:  # what comes from the environment is always text, whatever the field asks for
            result = msgspec.convert(value, kind, strict=value == written, dec_hook=dec_hook)
            self._check(result, kind)
        except msgspec.ValidationError:
            wanted = expected(inspect.type_info(kind))
            return self._bad(key, f"expected {wanted}, got {masked(written, key)}{_remedy(written, kind)}")
        except ValueError as error:
            return self._bad(key, f"{error}, got {masked(written, key)}")
        if not isinstance(result, Path):
            return result
        extra = _metadata(kind).extra or {}
        path = self._path(result, extra.get("file"), key)
        return self._users(path, key) if extra.get("users") and isinstance(path, Path) else path

    def _users(self, path: Path, key: str) -> object:
        try:
            parse(path)
        except StartupError as error:
            return self._bad(key, str(error))
        return path

    def _check(self, value: object, kind: Any) -> None:
        extra = _metadata(kind).extra or {}
        if check := extra.get("check"):
            check(value)
        if extra.get("template"):
            Template(cast("str", value))

    def _path(self, path: Path, suffixes: Sequence[str] | None, key: str) -> object:
        try:
            path = self._folder / path.expanduser()
            if suffixes is None:
                return path
            path.open("rb").close()
        except FileNotFoundError:
            return self._bad(key, f"no such file: {path}")
        except (OSError, ValueError, RuntimeError) as error:  # a NUL in it, `~nobody`
            return self._bad(key, f"{path}: {getattr(error, 'strerror', None) or error}")
        if suffixes and path.suffix not in suffixes:
            return self._bad(key, f"expected a file that ends in one of {' '.join(suffixes)}, got {path}")
        return path

    def _expand(self, text: str, key: str) -> object:
        try:
            return _REFERENCE.sub(_from_environment, text)
        except LookupError as error:
            return self._bad(key, str(error.args[0]))

    def _check_ports(self, ioservers: Mapping[str, IoServerSettings]) -> None:
        for index, (id_, server) in enumerate(ioservers.items()):
            for other_id, other in list(ioservers.items())[:index]:
                shared = [each for each in server.listen if any(_overlap(each, its) for its in other.listen)]
                if server.port == other.port and shared:
                    where = f"{server.port} on {', '.join(shared)} is already that of ioservers.{other_id}"
                    self._bad(join(f"ioservers.{id_}", "port"), f"{where}; choose another port or address")
                    break

    def _bad(self, key: str, what: str) -> object:
        self.problems.append(f"{self._name}: {key}: {what}" if key else f"{self._name}: {what}")
        return _BAD


def _literal(path: Path) -> str:
    """As it has to stand in the file."""
    return str(path.absolute()).replace("${", "$${")


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))  # Notepad puts a BOM first
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file; without -c the defaults serve"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: can't be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}: line {line}: not UTF-8; save the file as UTF-8"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: nested too deeply"]) from None
    except ValueError as error:  # TOMLDecodeError, and a number of more than 4300 digits
        raise ConfigError([f"{path}: {_syntax(str(error))}"]) from None


def _syntax(message: str) -> str:
    """`Invalid value (at line 3, column 8)` → `line 3, column 8: Invalid value; the remedy`."""
    remedy = next((each for start, each in _TOML_REMEDIES.items() if message.startswith(start)), "")
    found = _TOML_PLACE.fullmatch(message)
    return f"{found[2]}: {found[1]}{remedy}" if found else message


def _third_party(given: str, kind: type[msgspec.Struct]) -> type[msgspec.Struct] | None:
    """A type of sink that an installed package adds."""
    if not issubclass(kind, SinkSettings):
        return None
    from mailbell.sinks import registry  # only where the type is none of ours

    return registry.third_party(given)


def _bare(kind: Any) -> Any:
    """Strip `Annotated`."""
    return get_args(kind)[0] if hasattr(kind, "__metadata__") else kind


def _metadata(kind: Any) -> inspect.Metadata:
    info = inspect.type_info(kind)
    return info if isinstance(info, inspect.Metadata) else inspect.Metadata(info)


def _structs(bare: Any) -> tuple[type[msgspec.Struct], ...]:
    kinds = get_args(bare) if get_origin(bare) in (Union, UnionType) else (bare,)
    return tuple(each for each in kinds if isinstance(each, type) and issubclass(each, msgspec.Struct))


def _unknown(name: str, known: Sequence[str]) -> str:
    return f"unknown key{_did_you_mean(name, known) or '; known here: ' + ', '.join(known)}"


def _did_you_mean(given: object, known: Iterable[str]) -> str:
    given = re.sub(r"\W+", "_", str(given).lower())
    nearest = {each.lower(): each for each in known}
    found = difflib.get_close_matches(given, nearest, 1)
    return f"; did you mean {nearest[found[0]]}?" if found else ""


def _missing(field: FieldInfo) -> str:
    description = (_metadata(field.type).extra_json_schema or {}).get("description", "")
    return f"missing; it has no default. {description}".rstrip()


def _from_environment(found: re.Match[str]) -> str:
    escaped, name, default = found.groups()
    if escaped:
        return "${"
    if name is None:
        raise LookupError("a reference looks like ${NAME} or ${NAME:-default}; write $${ for a plain ${")
    value = os.environ.get(name)
    if default is not None:
        return value or str(default)
    if value is None:
        remedy = f"set it, or give a default: ${{{name}:-…}}"
        raise LookupError(f"the environment variable {name} is not set; {remedy}")
    return value


def _remedy(written: object, kind: Any) -> str:
    """For a number or a boolean in quotes, and a value misspelt."""
    info = _metadata(kind).type
    if isinstance(info, inspect.LiteralType):
        return _did_you_mean(written, [str(each) for each in info.values])
    if not isinstance(written, str):
        return ""
    try:
        msgspec.convert(written, kind, strict=False, dec_hook=dec_hook)
    except msgspec.ValidationError:
        return ""
    return "; write it without quotes"


def _overlap(one: str, other: str) -> bool:
    """Whether one socket on each of these addresses can't share a port."""
    a, b = ipaddress.ip_address(one), ipaddress.ip_address(other)
    return a.version == b.version and (a == b or a.is_unspecified or b.is_unspecified)
