"""The lines that a reload writes: every difference, and no secret."""

from pathlib import Path

from mailbell.changes import changes
from mailbell.settings import (
    Duration,
    IoServerSettings,
    MatchSettings,
    MqttSettings,
    ScriptSettings,
    ServiceSettings,
    SinkSettings,
    WebhookSettings,
)


def of_sinks(old: SinkSettings, new: SinkSettings) -> list[str]:
    return [str(each) for each in changes({"a": old}, {"a": new}, "sinks")]


def test_nothing_has_changed() -> None:
    assert not list(changes(ServiceSettings(), ServiceSettings()))


def test_each_key_that_differs_is_named_whole() -> None:
    old = ServiceSettings(ioservers={"smtp": IoServerSettings(), "gone": IoServerSettings()})
    new = ServiceSettings(
        data=Path("/data"), ioservers={"smtp": IoServerSettings(port=26, allow=("any", "private"))}
    )
    assert [str(each) for each in changes(old, new)] == [
        "data: mailbell-data → /data",
        "ioservers.smtp.port: 25 → 26",
        'ioservers.smtp.allow: ["private"] → ["any", "private"]',
        "ioservers.gone: removed",
    ]


def test_inside_of_a_sink() -> None:
    old = ScriptSettings(path=Path("a.py"))
    new = ScriptSettings(path=Path("b.py"), retry_for=Duration(60), match=MatchSettings(from_=("*@lan",)))
    assert of_sinks(old, new) == [
        "sinks.a.retry_for: 259200 → 60",
        'sinks.a.match.from: [] → ["*@lan"]',
        "sinks.a.path: a.py → b.py",
    ]


def test_another_type() -> None:
    assert of_sinks(ScriptSettings(path=Path("a.py")), WebhookSettings(url="http://h/x")) == [
        "sinks.a: script → webhook"
    ]


def test_secrets_stay_so() -> None:
    old = WebhookSettings(url="https://u:p1@h/token1", headers={"Authorization": "Bearer 1"})
    new = WebhookSettings(url="https://u:p2@h/token2", headers={"Authorization": "Bearer 2"})
    said = of_sinks(old, new)
    assert [each.partition(":")[0] for each in said] == ["sinks.a.url", "sinks.a.headers.Authorization"]
    assert not [each for each in said if "token" in each or "p1" in each or "Bearer" in each]
    said = of_sinks(MqttSettings(user="a", password="one"), MqttSettings(user="a", password="two"))
    assert said == ["sinks.a.password: changed (not shown: it is a secret)"]
