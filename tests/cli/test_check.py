"""`mailbell check`."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mailbell.cli.main import commands

SETTINGS = """
[ioservers.smtp]
port = 2525
[ioservers.door]
port = 2526
listen = ["127.0.0.1", "::1"]
[sinks.alarms]
type = "script"
path = "alarms.js"
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MAILBELL_CONFIG", raising=False)


def check(*arguments: str) -> Result:
    return CliRunner().invoke(commands, ["check", *arguments])


def test_what_would_listen_where(tmp_path: Path) -> None:
    Path("m.toml").write_text(SETTINGS)
    Path("alarms.js").write_text("function IOEvent(name, value) { messageLog(name); }\n")
    result = check("-c", "m.toml")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [
        "m.toml: ok",
        "I/O server smtp: SMTP on 0.0.0.0:2525, [::]:2525",
        "I/O server door: SMTP on 127.0.0.1:2526, [::1]:2526",
        f"sink alarms: script {tmp_path}/alarms.js",
        f"data in {tmp_path}/mailbell-data",
    ]
    assert not Path("mailbell-data").exists(), "checking touches nothing"


def test_a_script_in_error(tmp_path: Path) -> None:
    Path("m.toml").write_text(SETTINGS)
    Path("alarms.js").write_text("function IOEvent(name, value) {\n  nonsense(value);\n}\n")
    result = check("-c", "m.toml")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"{tmp_path}/alarms.js:2: ")
    assert "nonsense" in result.stderr


def test_the_file_is_the_one_named_by_option_environment_or_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check().output.splitlines()[0] == "the defaults: ok"
    for name in ("mailbell.toml", "environment.toml", "option.toml"):
        Path(name).write_text("")
    assert check().output.splitlines()[0] == "mailbell.toml: ok"
    monkeypatch.setenv("MAILBELL_CONFIG", "environment.toml")
    assert check().output.splitlines()[0] == "environment.toml: ok"
    assert check("-c", "option.toml").output.splitlines()[0] == "option.toml: ok"


def test_a_file_that_is_not_there() -> None:
    result = check("-c", "gone.toml")
    assert (result.exit_code, result.stderr) == (
        2,
        "gone.toml: no such file; without -c the defaults serve\n",
    )
