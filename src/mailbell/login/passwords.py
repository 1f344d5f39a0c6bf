"""The users file: a line is `name:hash`, `#` begins a comment.

A hash is scrypt, as `mailbell user add` writes it; bcrypt, as `htpasswd -B` does; or `{PLAIN}password`, for
devices that know nothing but CRAM-MD5, which needs readable passwords (RFC 2195). Behind `{TOKEN}` stands the
SHA-256 of a token for the API, which needs no slow hash: nobody guesses 256 random bits.
"""

import base64
import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from mailbell.errors import StartupError

PLAIN = "{PLAIN}"
TOKEN = "{TOKEN}"  # noqa: S105  what stands before its hash

N, R, P = 2**14, 8, 1
"""scrypt's cost: about 40 ms and 16 MiB, on purpose."""

_MEMORY = 64 * 2**20
_SCRYPT = re.compile(r"\$scrypt\$(\d{1,8})\$(\d{1,2})\$(\d{1,2})\$([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+)")
_TOKEN = re.compile(r"\{TOKEN\}[0-9a-f]{64}")
_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|1[0-7])\$[./A-Za-z0-9]{53}")
_NAME = re.compile(r"[^\s:#\x00-\x1f\x7f]([^:\x00-\x1f\x7f]*[^\s:\x00-\x1f\x7f])?")


def hash_password(password: str) -> str:
    """A hash for the users file: `$scrypt$n$r$p$salt$key`."""
    salt = secrets.token_bytes(16)
    return f"$scrypt${N}${R}${P}${_text(salt)}${_text(_scrypt(password, salt, N, R, P))}"


def verify(password: str, hashed: str) -> bool:
    """Whether the hash was made of this password; that of a token never is."""
    if hashed.startswith(TOKEN):
        return False
    if hashed.startswith(PLAIN):
        return hmac.compare_digest(password.encode(), hashed.removeprefix(PLAIN).encode())
    if found := _SCRYPT.fullmatch(hashed):
        n, r, p, salt, key = found.groups()
        made = _scrypt(password, base64.b64decode(salt), int(n), int(r), int(p))
        return hmac.compare_digest(made, base64.b64decode(key))
    import bcrypt

    # htpasswd -B writes $2y$, which is the same algorithm; bcrypt sees 72 octets and now refuses longer ones
    return bool(bcrypt.checkpw(password.encode()[:72], hashed.replace("$2y$", "$2b$", 1).encode()))


def parse(path: Path) -> dict[str, str]:
    """Read a users file. StartupError names the line that can't be used, not its content."""
    users: dict[str, str] = {}
    for number, line in enumerate(_lines(path), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, separator, hashed = line.partition(":")
        problem = _problem(name, hashed) if separator else "expected name:hash"
        if name in users:
            problem = f"user {name} stands here twice"
        if problem:
            raise StartupError(f"{path}:{number}: {problem}")
        users[name] = hashed
    return users


def kind(hashed: str) -> str:
    """How a password is kept, for people."""
    kinds = {"$scrypt$": "scrypt", PLAIN: "readable", TOKEN: "token"}
    return next((each for start, each in kinds.items() if hashed.startswith(start)), "bcrypt")


def hash_token(token: str) -> str:
    """What is kept of a token."""
    return f"{TOKEN}{hashlib.sha256(token.encode(errors='replace')).hexdigest()}"


def put(path: Path, name: str, password: str) -> None:
    """Add a user, or give it another password; what else stands in the file stays."""
    if problem := _problem(name, None) or ("" if password else "the password is empty"):
        raise StartupError(f"user {name}: {problem}")
    _put(path, name, hash_password(password))


def put_token(path: Path, name: str) -> str:
    """Add a user who has a token and no password, or give it another; return the token, which is not kept."""
    if problem := _problem(name, None):
        raise StartupError(f"user {name}: {problem}")
    token = f"mb_{secrets.token_urlsafe(32)}"
    _put(path, name, hash_token(token))
    return token


def _put(path: Path, name: str, hashed: str) -> None:
    line = f"{name}:{hashed}"
    lines = _lines(path) if path.exists() else []
    if name in (users := parse(path) if lines else {}):
        lines = [line if each.partition(":")[0] == name and name in users else each for each in lines]
    else:
        lines.append(line)
    _write(path, lines)


def remove(path: Path, name: str) -> None:
    """Remove a user; StartupError where there is none of this name."""
    if name not in parse(path):
        raise StartupError(f"{path}: there is no user {name}")
    _write(path, [line for line in _lines(path) if line.partition(":")[0] != name])


def _problem(name: str, hashed: str | None) -> str:
    """What is wrong with a line, "" if nothing; None for a hash that is yet to be made."""
    if not _NAME.fullmatch(name):
        return "a user's name has no colon, no control character, no blank at its ends and no # before it"
    if hashed is None or (hashed.startswith(PLAIN) and hashed != PLAIN):
        return ""
    if _BCRYPT.fullmatch(hashed) or _TOKEN.fullmatch(hashed):
        return ""
    found = _SCRYPT.fullmatch(hashed)
    if found and _can_be_made(*map(int, found.groups()[:3])):
        return ""
    return "expected scrypt or bcrypt behind the name; `mailbell user add` and `htpasswd -B` write them"


def _can_be_made(n: int, r: int, p: int) -> bool:
    return n > 1 and n & (n - 1) == 0 and r > 0 and 0 < p <= 16 and 128 * n * r + 128 * r * p < _MEMORY


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise StartupError(f"{path}: no such file; `mailbell user add` makes it") from None
    except OSError as error:
        raise StartupError(f"{path}: can't be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise StartupError(f"{path}: not UTF-8; save the file as UTF-8") from None
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def _write(path: Path, lines: list[str]) -> None:
    """Write the file, whole or not at all; readable by its owner alone, or by whom it was before."""
    temporary = path.with_name(path.name + ".new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            if path.exists():
                before = path.stat()
                os.fchmod(file.fileno(), before.st_mode & 0o777)
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StartupError(f"{path}: can't be written: {error.strerror}") from error


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=_MEMORY, dklen=32)


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode()
