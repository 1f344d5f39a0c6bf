"""What people may see of the settings."""

from pathlib import Path

import msgspec
import pytest

from mailbell.config import load
from mailbell.masking import effective


def test_the_settings_in_force_show_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "hunter2"
    monkeypatch.setenv("SECRET", secret)
    file = tmp_path / "mailbell.toml"
    file.write_text(f"""
            [sinks.hook]
            type = "webhook"
            url = "https://me:{secret}@hooks.lan/{secret}?{secret}"
            secrets = ["whsec_{"aHVudGVyMg" * 4}"]
            headers = {{ Authorization = "Bearer ${{SECRET}}" }}
            [sinks.run]
            type = "command"
            argv = ["/bin/true", "--password", "{secret}"]
            [sinks.house]
            type = "mqtt"
            user = "me"
            password = "{secret}"
            [sinks.stream]
            type = "nats"
            servers = ["nats://{secret}@nats.lan:4222", "nats://a:{secret}@nats.lan"]
            token = "{secret}"
            [sinks.phone]
            type = "apprise"
            urls = ["tgram://{secret}/{secret}"]
        """)
    shown = effective(load(file))
    text = msgspec.json.encode(shown).decode()
    assert secret not in text
    assert "aHVudGVyMg" not in text
    assert shown["sinks"]["hook"]["type"] == "webhook"
    assert shown["sinks"]["hook"]["url"] == "https://***@hooks.lan/***"
    assert shown["sinks"]["hook"]["headers"] == {"Authorization": "***"}
    assert shown["sinks"]["run"]["argv"] == ["/bin/true", "***", "***"]
    assert shown["sinks"]["stream"]["servers"] == ["nats://***@nats.lan:4222", "nats://***@nats.lan"]
    assert shown["sinks"]["house"]["password"] == "***"
    assert shown["ioservers"]["smtp"]["max_size"] == 25 * 2**20
    assert shown["sinks"]["stream"]["user"] == ""
