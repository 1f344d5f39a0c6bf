"""`match`: which events a sink gets. Pure, but for the time that a regular expression is given."""

import fnmatch
import logging
import re
from collections.abc import Callable, Iterable

import regex

from mailbell.event.convert import Converted
from mailbell.event.schema import MailEvent
from mailbell.mail import IMPORTED
from mailbell.networks import Networks
from mailbell.settings import MatchSettings

REGEX_TIMEOUT = 0.05
"""Seconds that one expression may take; some would backtrack for ever."""

TEXT_LIMIT = 256 * 1024
"""Characters of the text that are looked at."""

Test = Callable[[Converted], bool]
"""Looks at the mail where it can: the event's full form takes time, and not every sink wants it."""

logger = logging.getLogger("mailbell.delivery")


class Match:
    """All that is given must hold; of several values any."""

    def __init__(self, settings: MatchSettings) -> None:
        self._tests = tuple(_tests(settings))

    def __call__(self, item: Converted) -> bool:
        """Does the sink get this event?"""
        return all(test(item) for test in self._tests)


def _tests(settings: MatchSettings) -> Iterable[Test]:
    """A test for each key that is given; what is imported only goes where that is asked for."""
    if not settings.ioserver:
        yield lambda item: item.mail.ioserver != IMPORTED
    else:
        matchers = [_matcher(pattern) for pattern in settings.ioserver]
        yield lambda item: any(matches(item.mail.ioserver) for matches in matchers)
    texts: tuple[tuple[tuple[str, ...], Callable[[MailEvent], Iterable[str]]], ...] = (
        (settings.from_, lambda event: (event.envelope.mail_from,)),
        (settings.to, lambda event: event.envelope.rcpt_to),
        (settings.subject, lambda event: (event.subject or "",)),
        (settings.text, lambda event: (event.text[:TEXT_LIMIT],)),
        (settings.auth_user, lambda event: (event.source.auth_user or "",)),
        (settings.attachment_type, _attachment_types),
    )
    for patterns, values in texts:
        if patterns:
            yield _any_of(patterns, values)
    for name, patterns in settings.header.items():
        yield _any_of(patterns, _header(name))
    if settings.source:
        yield _in_networks(settings.source)
    if settings.has_attachment is not None:
        yield lambda item: bool(item.event.attachments) == settings.has_attachment


def _any_of(patterns: Iterable[str], values: Callable[[MailEvent], Iterable[str]]) -> Test:
    matchers = [_matcher(pattern) for pattern in patterns]
    return lambda item: any(matches(value) for value in values(item.event) for matches in matchers)


def _matcher(pattern: str) -> Callable[[str], bool]:
    if not pattern.startswith("re:"):
        # fnmatch's translation has no `*` that backtracks into another
        glob = re.compile(fnmatch.translate(pattern), re.IGNORECASE)
        # "[Shop] Order" is what it says, too: few think of its brackets as a set of characters
        return lambda value: value == pattern or glob.match(value) is not None
    expression = regex.compile(pattern[3:])
    return lambda value: _search(expression, pattern, value)


def _search(expression: "regex.Pattern[str]", pattern: str, value: str) -> bool:
    """An expression out of time counts as a match: an event too many is better than a lost alarm."""
    try:
        return expression.search(value, timeout=REGEX_TIMEOUT) is not None
    except TimeoutError:
        logger.error("match: %r took more than %g s on one value; simplify it", pattern, REGEX_TIMEOUT)
        return True


def _attachment_types(event: MailEvent) -> Iterable[str]:
    for each in event.attachments:
        yield each.content_type
        if each.detected_type is not None:
            yield each.detected_type


def _header(name: str) -> Callable[[MailEvent], Iterable[str]]:
    wanted = name.lower()
    return lambda event: (field.value for field in event.headers if field.name.lower() == wanted)


def _in_networks(names: Iterable[str]) -> Test:
    wanted = Networks(names)
    return lambda item: wanted.has(item.mail.source.ip)
