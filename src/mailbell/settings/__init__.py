"""Frozen settings, a struct for each room: what may be set, its default, its range and what it means.

No I/O here. `config.py` fills these from TOML; a test holds docs/settings.md to the descriptions. What a type
can't say stands in its `Meta.extra`, for config.py: `check`, a function that raises ValueError with what was
expected; `file`, the suffixes of a file that must exist; `users`, that it is a users file.
"""

from mailbell.settings.delivery import CooldownSettings, MatchSettings, SinkSettings
from mailbell.settings.ioservers import ChaosRule, ChaosSettings, IoServerSettings
from mailbell.settings.journal import HaSettings, JournalSettings
from mailbell.settings.service import INBOX, MONITOR, LogSettings, ServiceSettings
from mailbell.settings.sinks import (
    AnySink,
    AppriseSettings,
    CommandSettings,
    MqttSettings,
    NatsSettings,
    PayloadSettings,
    ScriptSettings,
    SmtpSettings,
    WebhookSettings,
)
from mailbell.settings.values import Duration, Settings, Size, dec_hook
from mailbell.settings.web import WebSettings, is_loopback

__all__ = [
    "INBOX",
    "MONITOR",
    "AnySink",
    "AppriseSettings",
    "ChaosRule",
    "ChaosSettings",
    "CommandSettings",
    "CooldownSettings",
    "Duration",
    "HaSettings",
    "IoServerSettings",
    "JournalSettings",
    "LogSettings",
    "MatchSettings",
    "MqttSettings",
    "NatsSettings",
    "PayloadSettings",
    "ScriptSettings",
    "ServiceSettings",
    "Settings",
    "SinkSettings",
    "Size",
    "SmtpSettings",
    "WebSettings",
    "WebhookSettings",
    "dec_hook",
    "is_loopback",
]
