import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.scripting.js_tokens import LITERAL, called_names, closing_brace, tokens


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "a = {b: {}}",
        'a = "}"',
        "a = '}\\'}'",
        'a = "\\\\"; b = "}"',
        "// }\n",
        "/* } */",
        "/* } \n } */",
        "a = /}/",
        "a = /[/}]/.test(b)",
        "a = /\\/}/g",
        "return /}/.exec(a)",
        "if (a) /}/.test(a)",
        "a = (1 + 2) / b; c = '}' / 2",
        "a = b / c; d = '}'; e = 1 / 2",
        "a++ / 2; b = '}/'",
        "a = [1] / 2; b = '}'",
        "a = `}`",
        "a = `\\`}`",
        "a = `${ '}' }}`",
        "a = `${ {b: `}${'}'}`} }}`",
        "a = `$}`",
        "a = `${b}` / 2; c = '}'",
        "a = x => { return `${x}` }",
        "label: for (;;) { break label }",
        "a = '\\\n}'",
    ],
)
def test_braces_inside_of_literals_and_comments_do_not_count(inside: str) -> None:
    source = f"{{{inside}}} }} trailing {{"
    assert closing_brace(source, 0) == len(inside) + 1


@pytest.mark.parametrize("source", ["{", "{ '}", "{ /* }", "{ `}", "{ `${ }", "{ { }", "{ // }"])
def test_a_brace_that_is_not_closed(source: str) -> None:
    assert closing_brace(source, 0) is None


def test_an_unfinished_string_ends_with_its_line() -> None:
    assert closing_brace("{ a = 'oops\n}", 0) == 12


def test_called_and_nowhere_else() -> None:
    source = """
    function helper(text) { return text }
    var other = 1
    missing(helper(1))
    object.method(2); object?.also(3)
    other(4)
    new Thing(5)
    if (typeof optional === "function") optional()
    class A { run(a) { this.#secret() } #secret() {} get x() { return `${inner()}` } }
    for (i = 0; i < f(i); i++) while (g()) switch (h()) { }
    "string(6)"; /* comment(7) */ /regex(8)/
    const made = async () => await call(9)
    """
    assert called_names([(source, 1)]) == {
        "missing": 4,
        "Thing": 7,
        "inner": 9,
        "f": 10,
        "g": 10,
        "h": 10,
        "call": 12,
    }


def test_names_of_all_pieces_of_a_file_count() -> None:
    assert called_names([("helper()", 3), ("helper = 1", 9), ("\nlost()", 20)]) == {"lost": 21}


@given(st.text(alphabet="ab(){}[]`$'\"/\\*\n;,.=+- x1?#") | st.text())
def test_any_text_is_split_whole_and_in_order(source: str) -> None:
    position = 0
    for token in tokens(source):
        assert token.position >= position
        assert token.text == "`" or source.startswith(token.text, token.position)
        assert token.text
        position = token.position + (len(token.text) if token.kind != LITERAL else 1)
    closing = closing_brace("{" + source, 0)
    assert closing is None or ("{" + source)[closing] == "}"
    called_names([(source, 1)])
