"""Every problem of a settings file, in one go, in words."""

import tempfile
from datetime import date
from pathlib import Path
from typing import Annotated, Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from mailbell.config import _Reader, load
from mailbell.errors import ConfigError
from mailbell.settings import (
    AnySink,
    Duration,
    IoServerSettings,
    JournalSettings,
    LogSettings,
    ScriptSettings,
    ServiceSettings,
    Settings,
    SinkSettings,
    Size,
)

TYPES = " or ".join(f'"{kind.__struct_config__.tag}"' for kind in get_args(AnySink))
SINK = '[sinks.a]\ntype = "script"\npath = "a.js"\n'


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.js").touch()


def write(text: str) -> Path:
    Path("mailbell.toml").write_text(text, "utf-8")
    return Path("mailbell.toml")


def problems(text: str, **overrides: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(write(text), **overrides)
    return [line.removeprefix("mailbell.toml: ") for line in caught.value.problems]


def test_without_a_file_there_is_one_io_server(tmp_path: Path) -> None:
    settings = load(None)
    assert settings.ioservers == {"smtp": IoServerSettings()}
    assert settings.data == tmp_path / "mailbell-data"


@pytest.mark.parametrize("text", ["", "[ioservers]", '[journal]\nmax_age = "1d"'])
def test_a_file_without_io_servers_has_the_default_one(text: str) -> None:
    assert load(write(text)).ioservers == {"smtp": IoServerSettings()}


def test_what_the_file_says_is_what_there_is(tmp_path: Path) -> None:
    text = """
        data = "elsewhere"
        [ioservers.smtp]
        type = "SMTPSERVER"
        port = 2525
        rawbody = true
        startupevents = true
        threads = 9
        shutdown_when_inactive = true
        listen = ["127.0.0.1"]
        max_size = "1.5 MiB"
        idle_timeout = "2 min"
        [ioservers.second]
        port = 2526
        [journal]
        max_age = 60
        max_size = 1000000
        [log]
        format = "json"
        keep = 0
    """
    settings = load(write(text + SINK))
    assert settings.data == tmp_path / "elsewhere"
    smtp = settings.ioservers["smtp"]
    assert smtp == IoServerSettings(
        port=2525,
        rawbody=True,
        startupevents=True,
        threads=9,
        shutdown_when_inactive=True,
        listen=("127.0.0.1",),
        max_size=Size(1572864),
        idle_timeout=Duration(120),
    )
    assert type(smtp.max_size) is Size
    assert settings.ioservers["second"].port == 2526
    assert settings.journal == JournalSettings(max_age=Duration(60), max_size=Size(1000000))
    assert settings.log == LogSettings(format="json", keep=Duration(0))
    assert settings.sinks["a"] == ScriptSettings(path=tmp_path / "a.js")


def test_paths_start_at_the_folder_of_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "b.py").touch()
    (folder / "m.toml").write_text(
        f'data = "d"\n{SINK}[sinks.b]\ntype="script"\npath="b.py"'.replace("a.js", "../a.js")
    )
    settings = load(Path("etc/m.toml"))
    assert settings.data == folder / "d"
    assert settings.sinks["a"] == ScriptSettings(path=folder / "../a.js")
    assert settings.sinks["b"] == ScriptSettings(path=folder / "b.py")
    (folder / "m.toml").write_text("")
    assert load(Path("etc/m.toml")).data == folder / "mailbell-data"


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert load(write('data = "~/mail"')).data == tmp_path / "home/mail"


PORT = "[ioservers.smtp]\nport = "
CASES = [
    (PORT + "0", "ioservers.smtp.port: expected 1 to 65535, got 0"),
    (
        PORT + "99999999999999999999999",
        "ioservers.smtp.port: expected 1 to 65535, got 99999999999999999999999",
    ),
    (PORT + "true", "ioservers.smtp.port: expected 1 to 65535, got true"),
    (PORT + "25.0", "ioservers.smtp.port: expected 1 to 65535, got 25.0"),
    (PORT + "2024-01-01", "ioservers.smtp.port: expected 1 to 65535, got 2024-01-01"),
    (PORT + "[25]", "ioservers.smtp.port: expected 1 to 65535, got a list"),
    (PORT + '"25"', 'ioservers.smtp.port: expected 1 to 65535, got "25"; write it without quotes'),
    (PORT + '"a\\n\\u001b"', 'ioservers.smtp.port: expected 1 to 65535, got "a\\n\\u001b"'),
    ("[ioservers.smtp]\nthreads = 0", "ioservers.smtp.threads: expected a whole number from 1 up, got 0"),
    ("[ioservers.smtp]\nrawbody = 1", "ioservers.smtp.rawbody: expected true or false, got 1"),
    (
        '[ioservers.smtp]\nmax_size = "25 MX"',
        'ioservers.smtp.max_size: expected a size such as 1048576 or "25 MiB", got "25 MX"',
    ),
    ("[ioservers.smtp]\nmax_size = 0", "ioservers.smtp.max_size: expected more than 0, got 0"),
    (
        "[ioservers.smtp]\nidle_timeout = nan",
        'ioservers.smtp.idle_timeout: expected a duration such as 30 or "30s", "10 min", "3d", got nan',
    ),
    ("[ioservers.smtp]\nlisten = []", "ioservers.smtp.listen: expected a list of 1 or more, got 0"),
    (
        "[ioservers.smtp]\nlisten = 5",
        "ioservers.smtp.listen: expected a list, got 5; write it in brackets: [ … ]",
    ),
    (
        '[ioservers.smtp]\nlisten = ["::1", "pc"]',
        'ioservers.smtp.listen[1]: expected an IP address such as "0.0.0.0", "192.168.1.5" or "::", got "pc"',
    ),
    (
        '[ioservers.smtp]\ncharset = "base64"',
        (
            'ioservers.smtp.charset: expected a charset that Python knows, such as "latin-1", "cp1252" '
            'or "gb18030", got "base64"'
        ),
    ),
    ("[ioservers.smtp]\nprot = 1", "ioservers.smtp.prot: unknown key; did you mean port?"),
    (
        '[ioservers.smtp]\n"shutdown when inactive" = true',
        'ioservers.smtp."shutdown when inactive": unknown key; did you mean shutdown_when_inactive?',
    ),
    (
        '[ioservers.smtp]\ntype = "smtpserver"',
        'ioservers.smtp.type: expected "SMTPSERVER", got "smtpserver"; did you mean SMTPSERVER?',
    ),
    ('[ioservers."a b"]', 'ioservers."a b": a name has letters of ASCII, digits, _ and - only'),
    ("[ioserver.smtp]", "ioserver: unknown key; did you mean ioservers?"),
    ("[ioservers]\nsmtp = 25", "ioservers.smtp: expected a table, got 25; write [ioservers.smtp]"),
    ("ioservers = 0", "ioservers: expected a table, got 0; write [ioservers]"),
    ("[[ioservers]]", "ioservers: expected a table, got a list; write [ioservers]"),
    ("data = 5", "data: expected a path, got 5"),
    ('data = ""', 'data: expected a path, got ""'),
    ("log = 5", "log: expected a table, got 5; write [log]"),
    ('[log]\nformat = "jsn"', 'log.format: expected "hsyco" or "json", got "jsn"; did you mean json?'),
    ('[sinks.a]\ntype = "scirpt"', f'sinks.a.type: expected {TYPES}, got "scirpt"; did you mean script?'),
    ("[sinks.a]\ntype = []", f"sinks.a.type: expected {TYPES}, got a list"),
    ('[sinks.a]\npath = "a.js"', f"sinks.a.type: missing; expected {TYPES}"),
    (
        '[sinks.a]\ntype = "script"',
        "sinks.a.path: missing; it has no default. The script: .js, .py, or an EVENTS file .txt.",
    ),
    (SINK.replace("sinks.a", "sinks.'ä'"), 'sinks."ä": a name has letters of ASCII, digits, _ and - only'),
]


@pytest.mark.parametrize(("text", "problem"), CASES, ids=[problem for _, problem in CASES])
def test_a_problem_names_key_and_remedy(text: str, problem: str) -> None:
    assert problems(text) == [problem]


def test_files_that_scripts_are_in(tmp_path: Path) -> None:
    def of(path: str) -> list[str]:
        return problems(SINK.replace("a.js", path))

    (tmp_path / "a.rb").touch()
    (tmp_path / "folder.js").mkdir()
    assert of("none.js") == [f"sinks.a.path: no such file: {tmp_path}/none.js"]
    assert of("a.rb") == [
        f"sinks.a.path: expected a file that ends in one of .js .py .txt, got {tmp_path}/a.rb"
    ]
    assert of("folder.js") == [f"sinks.a.path: {tmp_path}/folder.js: Is a directory"]
    assert of("x" * 300 + ".js")[0].endswith("File name too long")
    assert "null" in of("a\\u0000.js")[0]
    assert of("~nobody-of-this-name/a.js") == [
        "sinks.a.path: ~nobody-of-this-name/a.js: Could not determine home directory."
    ]


def test_all_problems_in_one_go() -> None:
    text = """
        dta = "x"
        [ioservers.one]
        port = 0
        threads = "many"
        [ioservers.two]
        port = 99
        [ioservers.three]
        port = 99
        color = "red"
        [sinks.gone]
        type = "script"
        path = "gone.js"
        retry_for = "long"
        [journal]
        engine = "oracle"
    """
    keys = [line.split(":")[0] for line in problems(text)]
    assert keys == [
        "dta",
        "ioservers.one.port",
        "ioservers.one.threads",
        "ioservers.three.color",
        "ioservers.three.port",
        "sinks.gone.path",
        "sinks.gone.retry_for",
        "journal.engine",
    ]


@pytest.mark.parametrize(
    ("one", "two", "shared"),
    [
        ('["0.0.0.0"]', '["127.0.0.1"]', "127.0.0.1"),
        ('["127.0.0.1", "::1"]', '["::"]', "::"),
        ('["::1"]', '["0:0:0:0:0:0:0:1"]', "0:0:0:0:0:0:0:1"),
        ('["127.0.0.1"]', '["127.0.0.2"]', None),
        ('["0.0.0.0"]', '["::"]', None),
    ],
)
def test_two_io_servers_on_one_port(one: str, two: str, shared: str | None) -> None:
    text = f"[ioservers.a]\nlisten = {one}\n[ioservers.b]\nlisten = {two}\n"
    if shared is None:
        assert len(load(write(text)).ioservers) == 2
        return
    assert problems(text) == [
        f"ioservers.b.port: 25 on {shared} is already that of ioservers.a; choose another port or address"
    ]


def test_syntax_errors_have_line_and_remedy() -> None:
    assert problems("[log]\nformat = json") == [
        'line 2, column 10: Invalid value; text stands in double quotes: key = "text"'
    ]
    assert "'C:\\mail'" in problems('data = "C:\\mail"')[0]
    assert "stands in the file twice" in problems("data = 'a'\ndata = 'b'")[0]
    assert problems("data\n") == ["line 1, column 5: Expected '=' after a key in a key/value pair"]
    assert problems("a = " + "[" * 100_000) == ["nested too deeply"]
    assert len(problems("a = " + "1" * 5000)) == 1


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path, problem in [
        ("none.toml", "none.toml: no such file; without -c the defaults serve"),
        (".", ".: can't be read: Is a directory"),
    ]:
        with pytest.raises(ConfigError) as caught:
            load(Path(path))
        assert caught.value.problems == (problem,)
    Path("latin.toml").write_bytes(b"# ok\n# gr\xfcn")
    with pytest.raises(ConfigError, match="line 2: not UTF-8"):
        load(Path("latin.toml"))
    Path("notepad.toml").write_bytes(b"\xef\xbb\xbfdata = 'x'")
    assert load(Path("notepad.toml")).data == tmp_path / "x"


def test_the_environment_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "2525")
    monkeypatch.setenv("YES", "true")
    monkeypatch.setenv("SIZE", "1 MiB")
    monkeypatch.setenv("EMPTY", "")
    text = """
        data = "${EMPTY:-d}/$HOME/$${PORT}/${PORT}${EMPTY}"
        [ioservers.smtp]
        port = "${PORT}"
        rawbody = "${YES}"
        max_size = "${SIZE}"
        threads = "${UNSET:-9}"
        listen = ["${UNSET:-::1}"]
    """
    settings = load(write(text))
    assert settings.data == tmp_path / "d/$HOME/${PORT}/2525"
    smtp = settings.ioservers["smtp"]
    assert (smtp.port, smtp.rawbody, smtp.max_size, smtp.threads, smtp.listen) == (
        2525,
        True,
        2**20,
        9,
        ("::1",),
    )


def test_problems_with_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORD", "hunter2")
    text = """
        data = "${1X}"
        [ioservers.smtp]
        port = "${WORD}"
        hostname = "${UNSET}"
    """
    assert problems(text) == [
        "data: a reference looks like ${NAME} or ${NAME:-default}; write $${ for a plain ${",
        'ioservers.smtp.port: expected 1 to 65535, got "${WORD}"',
        (
            "ioservers.smtp.hostname: the environment variable UNSET is not set; set it, or give a default: "
            "${UNSET:-…}"
        ),
    ]


def test_what_the_command_line_says_goes_over_the_file(tmp_path: Path) -> None:
    settings = load(write('data = 5\n[ioservers.door]\nport = "${UNSET}"'), port=2525, data=Path("${x}"))
    assert settings.data == tmp_path / "${x}"
    assert settings.ioservers == {"door": IoServerSettings(port=2525)}
    assert load(None, port=1).ioservers["smtp"].port == 1


def test_a_port_for_several_io_servers_is_refused() -> None:
    text = "[ioservers.a]\nport = 1\n[ioservers.b]\nport = 2"
    assert problems(text, port=2525) == ["--port: there are 2 I/O servers; set their ports in the file"]
    assert problems("ioservers = 5", port=2525) == ["ioservers: expected a table, got 5; write [ioservers]"]


class Broker(SinkSettings, frozen=True, kw_only=True, tag_field="type", tag="broker"):
    url: str = ""
    password: Annotated[str, Meta(min_length=20)] = ""
    headers: dict[str, int] = {}  # noqa: RUF012  msgspec copies it


class Hook(SinkSettings, frozen=True, kw_only=True, tag_field="type", tag="hook"):
    timeout: int | bool = 1
    certificate: Annotated[Annotated[Path, Meta(extra={"file": ()})] | None, Meta(description="PEM")] = None

    def __post_init__(self) -> None:
        if self.certificate and self.timeout == 2:
            raise ValueError("a certificate and 2 do not go together")


class Rule(Settings, frozen=True, kw_only=True):
    code: int = 1
    often: float = 0.0


class Rules(Settings, frozen=True, kw_only=True):
    one: Rule = Rule(code=2)


class Sinks(Settings, frozen=True, kw_only=True):
    sinks: dict[str, Broker | Hook] = {}  # noqa: RUF012


def read_sinks(**sinks: dict[str, Any]) -> tuple[object, list[str]]:
    reader = _Reader("x.toml", Path())
    return reader.table({"sinks": sinks}, (Sinks,), ""), reader.problems


def test_the_id_of_imported_mail_is_no_io_servers() -> None:
    reserved = "ioservers.import: this ID is that of imported mail; choose another"
    assert problems("[ioservers.import]\nport = 2525") == [reserved]


def test_scripts_of_the_command_line_come_on_top(tmp_path: Path) -> None:
    (tmp_path / "my bell.${x}.py").touch()
    settings = load(
        write(SINK.replace("sinks.a", "sinks.b")), scripts=[Path("a.js"), Path("my bell.${x}.py")]
    )
    assert list(settings.sinks) == ["b", "a", "my-bell---x-"]
    assert settings.sinks["my-bell---x-"] == ScriptSettings(path=tmp_path / "my bell.${x}.py")
    already = "--script: there is a sink a already; give the file a.js another name"
    assert problems(SINK, scripts=[Path("a.js")]) == [already]
    [missing] = problems("", scripts=[Path("none.js")])
    assert missing == f"sinks.none.path: no such file: {tmp_path / 'none.js'}"


def test_the_type_chooses_among_several_kinds() -> None:
    sinks, wrong = read_sinks(a={"type": "hook", "timeout": 2}, b={"type": "broker", "headers": {"X y": 1}})
    assert not wrong
    assert sinks == Sinks(sinks={"a": Hook(timeout=2), "b": Broker(headers={"X y": 1})})
    _, wrong = read_sinks(
        a={"type": "hok"}, b={"type": "hook", "timeout": "x"}, c={"type": "broker", "tpye": 1}
    )
    assert wrong == [
        'x.toml: sinks.a.type: expected "broker" or "hook", got "hok"; did you mean hook?',
        'x.toml: sinks.b.timeout: expected a whole number or true or false, got "x"',
        "x.toml: sinks.c.tpye: unknown key; did you mean type?",
    ]


def test_an_unknown_key_like_no_other_lists_those_known() -> None:
    _, wrong = read_sinks(a={"type": "broker", "zzzz": 1})
    known = "max_in_flight, ordered, retry_for, match, cooldown, dedupe, url, password, headers, type"
    assert wrong == [f"x.toml: sinks.a.zzzz: unknown key; known here: {known}"]


def test_a_path_that_may_be_left_out(tmp_path: Path) -> None:
    sinks, wrong = read_sinks(a={"type": "hook", "certificate": "a.js"})
    assert not wrong
    assert sinks == Sinks(sinks={"a": Hook(certificate=tmp_path / "a.js")})
    _, wrong = read_sinks(a={"type": "hook", "certificate": "none.pem"}, b={"type": "hook", "certificate": 5})
    assert wrong == [
        f"x.toml: sinks.a.certificate: no such file: {tmp_path}/none.pem",
        "x.toml: sinks.b.certificate: expected a path, got 5",
    ]


def test_keys_that_do_not_go_together() -> None:
    _, wrong = read_sinks(a={"type": "hook", "certificate": "a.js", "timeout": 2})
    assert wrong == ["x.toml: sinks.a: a certificate and 2 do not go together"]


def test_secrets_are_not_shown() -> None:
    _, wrong = read_sinks(
        a={"type": "broker", "password": "hunter2"},
        b={"type": "broker", "headers": {"Authorization": "hunter2"}},
        c={"type": "hook", "timeout": "mqtt://me:hunter2@host"},
        d={"type": "broker", "password": ["hunter2"]},
    )
    assert len(wrong) == 4
    assert "hunter2" not in str(wrong)
    assert '"mqtt://me:***@host"' in wrong[2]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('url = "htps://me:pass@h/T0K3N?key=T0K3N"', 'expected a URL such as "https://host/path", got "htps://me:***@h/***"'),
        ('url = "https://h:x/T0K3N"', 'expected a URL such as "https://host/path", got "https://h:x/***"'),
        ("url = 'https://h/'\nheaders = { X-Api-Key = 12345 }", "expected text, got something else"),
        ("url = 'https://h/'\nheaders = { X-Api-Key = \"T0K3N\\n\" }", "line breaks"),
        ("url = 'https://h/'\nheaders = { 'X Y' = 'T0K3N' }", "'X Y' in headers is no name of"),
        ("url = 'https://h/'\nheaders = { Content-Length = '1' }", "is for the HTTP client to set"),
        ("url = 'https://h/'\nsecrets = ['whsec_T0K3N']", 'expected "whsec_" and the base64 of 24'),
        ("url = 'https://h/'\nattachments = 'url'", 'attachments = "url" needs page'),
    ],
)  # fmt: skip
def test_a_webhook_without_its_secrets(text: str, problem: str) -> None:
    [said] = problems(f'[sinks.a]\ntype = "webhook"\n{text}')
    assert problem in said
    assert "T0K3N" not in said
    assert "12345" not in said
    assert "pass@" not in said


def test_a_template_in_the_settings() -> None:
    text = '[sinks.a]\ntype = "apprise"\nurls = ["json://h"]\ntitle = "{subjekt}"\nbody = "{text"'
    title, body = problems(text)
    assert title.startswith("sinks.a.title: {subjekt}: there is no subjekt; did you mean subject?, got ")
    assert body.startswith("sinks.a.body: expected '}' before end of string, got ")


KEYS = st.sampled_from(
    ["data", "ioservers", "log", "sinks", "smtp", "a", "type", "port", "listen", "max_size"]
)
TEXTS = [
    "",
    "script",
    "SMTPSERVER",
    "${HOME}",
    "${",
    "25",
    "1 MiB",
    "9e9999",
    "1" * 400,
    "\ud800",
    "\0\n",
    "a.js",
]
OTHERS = [True, 0, -1, 25, 2**70, 0.5, float("inf"), float("nan"), date(2026, 1, 1), None]
TREES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([*TEXTS, *OTHERS]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, TREES, max_size=5))
def test_any_tree_gives_settings_or_problems(tree: dict[str, Any]) -> None:
    reader = _Reader("x.toml", Path(tempfile.gettempdir()))
    settings = reader.table(tree, (ServiceSettings,), "")
    assert isinstance(settings, Settings) or reader.problems
    assert all(line.startswith("x.toml: ") and len(line.splitlines()) == 1 for line in reader.problems)


@given(st.text() | st.binary().map(lambda octets: octets.decode("latin-1")))
def test_any_text_gives_settings_or_problems(text: str) -> None:
    file = Path("any.toml")
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        load(file)
    except ConfigError as error:
        assert error.problems


def test_what_a_table_leaves_out_is_as_in_the_default_of_its_key() -> None:
    reader = _Reader("x.toml", Path())
    assert reader.table({"one": {"often": 0.5}}, (Rules,), "") == Rules(one=Rule(code=2, often=0.5))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('certificate = "c.pem"', "certificate and key go together: give both, or none"),
        ('key = "c.pem"', "certificate and key go together"),
        ('tls = "off"\ncertificate = "c.pem"\nkey = "c.pem"', "certificate and key are for TLS"),
        ('auth = "required"', 'auth = "required" needs users, a file that `mailbell user add` makes'),
        ('users = "users"', 'users is read only with auth = "required"'),
        (
            'auth = "required"\nusers = "users"\ntls = "off"',
            'auth = "required" with tls = "off" lets nobody in',
        ),
    ],
)
def test_keys_of_an_io_server_that_do_not_go_together(text: str, problem: str) -> None:
    Path("c.pem").write_text("")
    Path("users").write_text("cam:{PLAIN}x\n")
    [found] = problems(f"[ioservers.smtp]\n{text}\n")
    assert found.startswith(f"ioservers.smtp: {problem}")


def test_a_users_file_that_is_no_use() -> None:
    text = '[ioservers.smtp]\nauth = "required"\nusers = "users"\n'
    [missing] = problems(text)
    assert missing.endswith("users: no such file; `mailbell user add` makes it")
    Path("users").write_text("cam:{PLAIN}x\nrubbish\n")
    [broken] = problems(text)
    assert broken.startswith("ioservers.smtp.users: ")
    assert broken.endswith("users:2: expected name:hash")
    Path("users").write_text("cam:{PLAIN}x\n")
    assert load(write(text)).ioservers["smtp"].users == Path.cwd() / "users"


@pytest.mark.parametrize("name", ["io", "inbox"])
def test_a_sink_can_not_have_the_name_of_a_consumer_of_our_own(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(SINK.replace("sinks.a", f"sinks.{name}")))
    [problem] = caught.value.problems
    assert f"sinks.{name}: this name is that of a part of mailbell; choose another" in problem


JETSTREAM = '[journal]\nengine = "jetstream"\nurl = "nats://a, nats://b:4223"\n'


def test_a_cluster_of_several_servers() -> None:
    settings = load(write(JETSTREAM + '[ha]\nmode = "all-active"\nlease = "5s"\nnode = "n1"'))
    assert settings.journal.servers == ("nats://a", "nats://b:4223")
    assert load(write('[journal]\nengine = "jetstream"\nurl = ["tls://a"]')).journal.servers == ("tls://a",)
    assert (settings.ha.mode, settings.ha.lease, settings.ha.node) == ("all-active", 5.0, "n1")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[journal]\nengine = "jetstream"', 'journal: engine = "jetstream" needs url'),
        ('[journal]\nurl = "nats://a"', 'journal: url: only with engine = "jetstream"'),
        (
            '[journal]\nengine = "jetstream"\nurl = "nats://a,http://b"',
            "journal.url[0]: expected a URL such as",
        ),
        (JETSTREAM + 'user = "a"\ntoken = "b"', "journal: user and token: one way to log in is enough"),
        (JETSTREAM + 'password = "b"', "journal: password needs user"),
        (JETSTREAM + 'nkey = "none"', "journal.nkey: no such file"),
        (JETSTREAM + 'ca = "a.js"\ncertificate = "a.js"', "journal: certificate and key go together"),
        (JETSTREAM + 'stream = "a.b"', "journal.stream: expected up to 60 of A-Z"),
        (JETSTREAM + "replicas = 2", "journal.replicas: expected 1 or 3 or 5, got 2"),
        (JETSTREAM + '[ha]\nlease = "500 ms"', 'ha.lease: expected "1s" to "1h"'),
        (JETSTREAM + '[ha]\nnode = "a.b"', "ha.node: expected text of the form"),
        ('[ha]\nnode = "a"', "[ha] is for several nodes that share a journal"),
        (
            JETSTREAM + '[ha]\nmode = "all-active"\n' + SINK + "ordered = true",
            'sinks.a: ordered = true needs ha.mode = "active-standby"',
        ),
    ],
)
def test_keys_of_a_cluster_that_do_not_go_together(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(text))
    assert any(problem in line for line in caught.value.problems), caught.value.problems
