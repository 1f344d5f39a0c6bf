"""Just enough of JavaScript's lexical grammar (ECMA-262 §12) to match braces and to see what is called."""

import re
from collections.abc import Iterable, Iterator

NAME, PUNCTUATOR, LITERAL = "name", "punctuator", "literal"

_TOKEN = re.compile(
    r"""(?P<space>\s++|//[^\n\u2028\u2029]*+|/\*.*?\*/|/\*.*)
    |(?P<name>(?:[\w$]|\\u[0-9A-Fa-f]{4})++)
    |(?P<literal>"(?:[^"\\\n]|\\.)*+"?|'(?:[^'\\\n]|\\.)*+'?)
    |(?P<punctuator>=>|\+\+|--|\?\.(?![0-9])|.)""",
    re.DOTALL | re.VERBOSE,
)
_REGEX = re.compile(r"/(?![*/])(?:[^\\/\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*+\])++/[\w$]*+")
_TEMPLATE = re.compile(r"(?:[^`\\$]|\\.|\$(?!\{))*+(?:`|\$\{)?", re.DOTALL)

_BEFORE_REGEX = frozenset(
    [
        "await",
        "case",
        "delete",
        "do",
        "else",
        "in",
        "instanceof",
        "new",
        "of",
        "return",
        "throw",
        "typeof",
        "void",
        "yield",
    ]
)
_CONTROL = frozenset(("for", "if", "while", "with"))
_RESERVED = _BEFORE_REGEX | _CONTROL | frozenset(["catch", "function", "super", "switch", "import", "async"])


class Token:
    """One token: its kind, its text and where it starts."""

    __slots__ = ("kind", "position", "text")

    def __init__(self, kind: str, text: str, position: int) -> None:
        self.kind = kind
        self.text = text
        self.position = position


def tokens(source: str, position: int = 0) -> Iterator[Token]:
    """Split JavaScript from `position` on, without spaces and comments. Takes anything; never raises."""
    previous = ""
    regex_allowed = True  # a slash begins a regular expression where an operand is due (ECMA-262 §12.9.5)
    open_: list[str | bool] = []  # per bracket: "`" for ${, else whether a regex may follow the closing one
    while position < len(source):
        found = (regex_allowed and _REGEX.match(source, position)) or _TOKEN.match(source, position)
        assert found is not None  # noqa: S101  the last alternative takes any character
        kind, text, start = found.lastgroup or LITERAL, found[0], position
        position = found.end()
        if kind == "space":
            continue
        resumes = text == "}" and bool(open_) and open_.pop() == "`"
        if text == "`" or resumes:
            position, opened = _template(source, position)
            open_ += ["`"] * opened
            kind = PUNCTUATOR if opened or resumes else LITERAL
            yield Token(kind, "`", start)
            regex_allowed = opened
            previous = "`"
            continue
        if text in "([{":
            open_.append(text == "(" and previous in _CONTROL)
            regex_allowed = True
        elif text in ")]":
            regex_allowed = bool(open_) and open_.pop() is True
        else:
            regex_allowed = text in _BEFORE_REGEX or (kind == PUNCTUATOR and text not in ("++", "--"))
        yield Token(kind, text, start)
        previous = text


def _template(source: str, position: int) -> tuple[int, bool]:
    """Skip the characters of a template literal; tell whether they end at a substitution."""
    found = _TEMPLATE.match(source, position)
    assert found is not None  # noqa: S101  the pattern takes nothing, too
    return found.end(), found[0].endswith("${")


def closing_brace(source: str, position: int) -> int | None:
    """Return where the brace that opens at `position` is closed; None if it is not."""
    depth = 0
    for token in tokens(source, position):
        if token.kind == PUNCTUATOR and token.text in "{}":
            depth += 1 if token.text == "{" else -1
            if depth == 0:
                return token.position
    return None


def called_names(pieces: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Names that occur in a file only as calls, `name(…)`, with the line of the first one.

    A name that is declared, assigned, a parameter or tested with `typeof` occurs in another way too, and is
    left out: so what is returned and not built in exists nowhere. `pieces` are the parts of the file and
    their lines.
    """
    calls: dict[str, int] = {}
    others: set[str] = set()
    for source, first_line in pieces:
        found = list(tokens(source))
        for index, token in enumerate(found):
            if token.kind != NAME or token.text in _RESERVED:
                continue
            if _is_call(found, index):
                calls.setdefault(token.text, first_line + source.count("\n", 0, token.position))
            elif index == 0 or found[index - 1].text not in (".", "?."):
                others.add(token.text)
    return {name: line for name, line in calls.items() if name not in others}


def _is_call(found: list[Token], index: int) -> bool:
    before = found[index - 1].text if index else ""
    after = found[index + 1].text if index + 1 < len(found) else ""
    if after != "(" or before in ("function", ".", "?.", "#"):
        return False
    return not _is_method(found, index + 1)


def _is_method(found: list[Token], index: int) -> bool:
    """`name(…) {` is a method of a class or an object, not a call."""
    depth = 0
    for position in range(index, len(found)):
        depth += {"(": 1, ")": -1}.get(found[position].text, 0)
        if depth == 0:
            return position + 1 < len(found) and found[position + 1].text == "{"
    return False
