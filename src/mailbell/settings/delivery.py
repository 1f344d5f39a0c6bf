"""`[sinks.NAME]`: what every sink has."""

from typing import Annotated

from msgspec import Meta, field

from mailbell.settings.values import Count, Duration, PositiveDuration, Settings, SourceNetwork


def _pattern(value: str) -> None:
    if value.startswith("re:"):
        import regex

        try:
            regex.compile(value[3:])
        except regex.error as error:
            raise ValueError(f"not a regular expression: {error}") from None


Patterns = tuple[Annotated[str, Meta(extra={"check": _pattern})], ...]
TemplateText = Annotated[str, Meta(extra={"template": True})]
"""Format fields over the full event (event/template.py); `config.py` checks it."""


class MatchSettings(Settings, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Which events a sink gets: all that is given must hold; of several values any.

    Values are globs without regard to case (`*@cameras.lan`), or regular expressions after `re:`.
    """

    ioserver: Annotated[Patterns, Meta(description="The I/O server's ID.")] = ()
    from_: Annotated[Patterns, Meta(description="The envelope's sender.")] = ()
    to: Annotated[Patterns, Meta(description="Any of the envelope's recipients.")] = ()
    subject: Annotated[Patterns, Meta(description="The subject.")] = ()
    text: Annotated[Patterns, Meta(description="The text; a glob has to match all of it: `*alarm*`.")] = ()
    source: Annotated[
        tuple[SourceNetwork, ...], Meta(description='The network: one, or "private", "loopback", "any".')
    ] = ()
    auth_user: Annotated[Patterns, Meta(description="The user that the client gave.")] = ()
    header: Annotated[
        dict[str, Patterns], Meta(description='Header fields by name: header.x-priority = ["1*"].')
    ] = field(default_factory=dict)
    has_attachment: Annotated[bool | None, Meta(description="Whether there is an attachment.")] = None
    attachment_type: Annotated[
        Patterns, Meta(description="The content type, declared or detected, of any attachment: `image/*`.")
    ] = ()


class CooldownSettings(Settings, frozen=True, kw_only=True):
    """The first event of a kind goes out; the rest of the window are counted in the next one."""

    key: Annotated[TemplateText, Meta(description="What makes events of one kind, a template.")] = (
        "{source.ip}/{envelope.rcpt_to[0]}"
    )
    every: Annotated[PositiveDuration, Meta(description="The window that the first event opens.")] = Duration(
        60
    )


class SinkSettings(Settings, frozen=True, kw_only=True):
    """What every sink has."""

    max_in_flight: Annotated[Count, Meta(description="The most events handed to the sink at once.")] = 16
    ordered: Annotated[
        bool, Meta(description="true: an event waits until the one before it is delivered or parked.")
    ] = False
    retry_for: Annotated[Duration, Meta(description="How long an event is retried before it is parked.")] = (
        Duration(3 * 86400)
    )
    match: Annotated[MatchSettings, Meta(description="Which events the sink gets; all when left out.")] = (
        MatchSettings()
    )
    cooldown: Annotated[
        CooldownSettings | None, Meta(description="Lets one event of a kind through in a window of time.")
    ] = None
    dedupe: Annotated[
        Duration, Meta(description="The same mail again within so long is left out; 0: never.")
    ] = Duration(0)

    def describe(self) -> str:
        """For the first lines of `serve`, and the repr; shows no secret."""
        return str(self.__struct_config__.tag)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.describe()}>"
