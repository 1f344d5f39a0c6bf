"""Settings as people may see them: the secrets masked, in messages, in the log and on the page."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec

NAME = re.compile(r"[A-Za-z0-9_-]+")
_SECRET = re.compile(
    r"password|passwd|secret|token|credential|authorization|cookie|[-_]key|headers|urls", re.IGNORECASE
)
_URL_PASSWORD = re.compile(r"(://[^:@/\s]*:)\S+@")
_URL_USER = re.compile(r"(://)[^/\s]*@")
_URL_PATH = re.compile(r"(://[^/?#\s]+)[/?#]\S+")


def join(key: str, name: str) -> str:
    """The whole key of what stands under a key."""
    name = name if NAME.fullmatch(name) else json.dumps(name, ensure_ascii=False)
    return f"{key}.{name}" if key else name


def by_name(struct: msgspec.Struct) -> dict[str, Any]:
    """The fields, by their names in the file."""
    return {each.encode_name: getattr(struct, each.name) for each in msgspec.structs.fields(struct)}


def shown(value: object) -> str:
    """A value as TOML writes it, shortened."""
    match value:
        case dict():
            return "a table"
        case list():
            return "a list"
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value if len(value) <= 60 else value[:59] + "…", ensure_ascii=False)
        case _:
            return str(value)


def is_secret(key: str) -> bool:
    """Whether what stands under this key is nobody's business."""
    return _SECRET.search(key) is not None


def effective(value: object, key: str = "") -> Any:
    """Return settings as plain values to be shown, secrets as ***; of a URL its scheme, host and port."""
    match value:
        case msgspec.Struct():
            config = value.__struct_config__
            tag = {config.tag_field: config.tag} if config.tag_field else {}
            return tag | effective(by_name(value), key)
        case dict():
            return {name: effective(each, join(key, name)) for name, each in value.items()}
        case tuple() if key.endswith(".argv"):  # of a command: an argument may be a password
            return [*value[:1], *("***" for _ in value[1:])]
        case tuple():
            return [effective(each, key) for each in value]
        case str() if value and is_secret(key):
            return "***"
        case str():
            return _URL_PATH.sub(r"\1/***", _URL_USER.sub(r"\1***@", value))
        case Path():
            return str(value)
        case bool() | None:
            return value
        case int():  # a Size
            return int(value)
        case float():  # a Duration
            return float(value)
        case _:
            return str(value)


def masked(written: object, key: str) -> str:
    """Return a value for a message, as written: references to the environment stay; of a secret, nothing."""
    if is_secret(key):
        return "something else (not shown: it is a secret)"
    if not isinstance(written, str):
        return shown(written)
    return shown(_URL_PATH.sub(r"\1/***", _URL_PASSWORD.sub(r"\1***@", written)))  # a webhook's is a secret
