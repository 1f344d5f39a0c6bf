"""The grammar of arguments: RFC 5321 §4.1.2 as devices write it.

Nothing is validated and nothing fails: an address is what stands in the last angle brackets, else the first
token.
"""

import re

# What nearly all clients send, in one go; everything else takes the long way.
_PLAIN = rb'<([^\x00- <>",;@]+@[^\x00- <>",;@]+)>'
_PLAIN_FROM = re.compile(rb"(?:FROM|from|From):" + _PLAIN + rb"(?: (?:SIZE|size)=(\d{1,20}))?").fullmatch
_PLAIN_TO = re.compile(rb"(?:TO|to|To):" + _PLAIN).fullmatch

# A quoted string outside brackets is a display name; its brackets and commas count for nothing. The brackets
# of a parameter (AUTH=<>) are no path. A backslash escapes nothing here: else a line of `"\"\"\"` would take
# quadratic time.
_TOKEN = re.compile(rb'"[^"]*+"|(?<!=)<((?:"[^"]*+"|[^<>])*+)>?|([,;])')
_KEYWORD = re.compile(rb"\s*(?:FROM|TO)(?:\s*:|\s|$)\s*", re.IGNORECASE)
_LIST_BLANKS = re.compile(rb"\s*([,;])\s*")
_SIZE = re.compile(rb"\sSIZE=(\d{1,20})(?!\S)", re.IGNORECASE)
_PARAMETER = re.compile(rb"[A-Za-z0-9-]+=[^@]*\Z")


def text(octets: bytes) -> str:
    """Decode what a client sent: UTF-8 (RFC 6531), else the raw 8-bit of old devices."""
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def reverse_path(argument: bytes) -> tuple[str, int]:
    """Return address ("" for the null path) and declared size (0: none) of a MAIL command's argument."""
    plain = _PLAIN_FROM(argument)
    if plain is not None:
        address, size = plain.groups()
        return text(address), int(size) if size else 0
    paths = _paths(argument)
    return paths[-1] if paths else "", declared_size(argument)


def forward_paths(argument: bytes) -> list[str]:
    """Return the addresses of a RCPT command's argument: mostly one; some devices send `<a>,<b>`."""
    plain = _PLAIN_TO(argument)
    return _paths(argument) if plain is None else [text(plain[1])]


def declared_size(parameters: bytes) -> int:
    """RFC 1870 §6: the value of SIZE=, 0 without one. Other parameters are ignored: devices invent them."""
    found = _SIZE.search(parameters)
    return int(found[1]) if found else 0


def chunk(argument: bytes) -> tuple[int, bool] | None:
    """RFC 3030 §2: `chunk-size [LAST]` of a BDAT command; None where it is not that."""
    size, *last = argument.split() or [b""]
    if not size.isdigit() or len(size) > 20 or [word.upper() for word in last] not in ([], [b"LAST"]):
        return None
    return int(size), bool(last)


def _paths(argument: bytes) -> list[str]:
    paths = _bracketed(argument)
    if paths is None:
        paths = [_first_token(argument)]
    addresses = [_without_route(address.strip()) for path in paths for address in _split(path)]
    return [text(address) for address in addresses if address]


def _bracketed(argument: bytes) -> list[bytes] | None:
    """The last angle brackets of each item of a list; None where there are none at all."""
    paths: list[bytes] = []
    latest: bytes | None = None
    for token in _TOKEN.finditer(argument):
        if token[1] is not None:
            latest = token[1]
        elif token[2] and latest is not None:
            paths.append(latest)
            latest = None
    if latest is not None:
        paths.append(latest)
    return paths or None


def _first_token(argument: bytes) -> bytes:
    keyword = _KEYWORD.match(argument)
    rest = _LIST_BLANKS.sub(rb"\1", argument[keyword.end() :] if keyword else argument)
    token = (rest.split(None, 1) or [b""])[0]
    return b"" if _PARAMETER.match(token) else token


def _split(path: bytes) -> list[bytes]:
    """Several addresses in one path (`<a@b,c@d>`); commas in quotes or a source route separate nothing."""
    return [path] if b'"' in path or path[:1] == b"@" else path.replace(b";", b",").split(b",")


def _without_route(address: bytes) -> bytes:
    """RFC 5321 §4.1.1.3 and §F.2: a source route (`@a,@b:user@c`) is taken and ignored."""
    return address.partition(b":")[2].strip() if address[:1] == b"@" and b":" in address else address
