"""docs/testing.md: each of its examples is run, by a pytest of its own."""

import inspect
import re

import pytest

from mailbell.testing import Mailbell
from tests.tools import ROOT

PAGE = (ROOT / "docs" / "testing.md").read_text()


def files(heading: str) -> dict[str, str]:
    """The Python files of a part of the page, by the names in their first lines."""
    part = PAGE.partition(f"# {heading}\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", part, re.DOTALL))


@pytest.mark.parametrize(
    ("heading", "names", "count"),
    [
        ("Testing software that sends mail", ["test_welcome.py", "test_greylisting.py", "test_async.py"], 3),
        ("Django", ["conftest.py", "test_orders.py"], 1),
        ("Flask", ["test_app.py"], 2),
    ],
)
def test_the_examples(pytester: pytest.Pytester, heading: str, names: list[str], count: int) -> None:
    found = files(heading)
    for name in names:
        (pytester.path / name).write_text(found[name])
    pytester.runpytest_subprocess("-p", "no:anyio").assert_outcomes(passed=count)


def test_the_options_of_the_conftest_are_options(pytester: pytest.Pytester) -> None:
    conftest = files("Testing software that sends mail")["conftest.py"]
    (pytester.path / "conftest.py").write_text(conftest)
    pytester.makepyfile("def test_it(mailbell):\n    assert mailbell.certificate.is_file()")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_every_name_of_the_table_is_there() -> None:
    table = PAGE.partition("\n| |")[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    names = [name for cell in cells for name in re.findall(r"`(?:await )?(\w+)", cell)]
    assert len(names) >= 7
    assert set(names) <= {*vars(Mailbell), *vars(Mailbell())}


def test_every_keyword_of_wait_for_is_in_the_table() -> None:
    shown = re.findall(r"(\w+)=", PAGE.partition("`wait_for(")[2].partition(")")[0])
    assert shown == list(inspect.signature(Mailbell.wait_for).parameters)[1:]
