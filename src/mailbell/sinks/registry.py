"""Which sink serves which `type`. What a sink needs is imported only where one is set up.

Third parties add a type by an entry point in the group `mailbell.sinks`. Its name is the type, and it names
a class that is a `Sink`, is made of a name and its settings, and has those settings' class as `Settings`: a
frozen subclass of `SinkSettings` with the type as its tag. examples/sink is one.
"""

from typing import Any, cast

from mailbell.scripting.state import IoState
from mailbell.settings import (
    AppriseSettings,
    CommandSettings,
    MqttSettings,
    NatsSettings,
    ScriptSettings,
    SinkSettings,
    SmtpSettings,
    WebhookSettings,
)
from mailbell.sinks.base import Sink

GROUP = "mailbell.sinks"


def make(name: str, settings: SinkSettings, state: IoState) -> Sink:
    """Make the sink that these settings are for; nothing is started."""
    match settings:
        case ScriptSettings():
            from mailbell.sinks.script import ScriptSink

            return ScriptSink(name, settings, state)
        case CommandSettings():
            from mailbell.sinks.command import CommandSink

            return CommandSink(name, settings)
        case WebhookSettings():
            from mailbell.sinks.webhook import WebhookSink

            return WebhookSink(name, settings)
        case SmtpSettings():
            from mailbell.sinks.smtp import SmtpSink

            return SmtpSink(name, settings)
        case AppriseSettings():
            from mailbell.sinks.apprise import AppriseSink

            return AppriseSink(name, settings)
        case NatsSettings():
            from mailbell.sinks.nats import NatsSink

            return NatsSink(name, settings)
        case MqttSettings():
            from mailbell.sinks.mqtt import MqttSink

            return MqttSink(name, settings)
        case _:
            return cast("Sink", _load(str(settings.__struct_config__.tag))(name, settings))


def problems(settings: SinkSettings) -> list[str]:
    """What is wrong with a sink, as far as that can be told without starting it: for `mailbell check`."""
    match settings:
        case ScriptSettings():
            from mailbell.scripting.version import Limits, check_script

            return check_script(settings.path, Limits(settings.time_limit, settings.memory_limit))
        case CommandSettings():
            from mailbell.sinks import command

            return command.problems(settings)
        case AppriseSettings():
            from mailbell.sinks import apprise

            return apprise.problems(settings)
        case _:
            return []


def third_party(kind: str) -> type[SinkSettings] | None:
    """Return the settings of a type that an installed package adds, or None; ValueError: it is unusable."""
    from importlib.metadata import entry_points

    if not entry_points(group=GROUP, name=kind):
        return None
    try:
        settings = _load(kind).Settings
    except Exception as error:  # somebody else's code, which may do anything when it is imported
        raise ValueError(
            f"the package that adds the type {kind} can't be used: {type(error).__name__}: {error}"
        ) from error
    if not (issubclass(settings, SinkSettings) and settings.__struct_config__.tag == kind):
        raise ValueError(f"the package that adds the type {kind} has no settings with that tag")
    return cast("type[SinkSettings]", settings)


def _load(kind: str) -> Any:
    from importlib.metadata import entry_points

    [point, *_] = entry_points(group=GROUP, name=kind)
    return point.load()
