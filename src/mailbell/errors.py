"""The errors of mailbell: one tree.

```
MailbellError
├── ConfigError          settings that can't be used; lists every problem (exit status 2)
├── StartupError         the machine does not allow what the settings ask for; one clear line (exit status 1)
│   ├── ListenError      a port taken, a port without the right, an address that is not ours
│   └── DataError        the data folder: unwritable, damaged, of a newer version, in use by another process
├── JournalError         the journal did not take or does not have a mail
│   ├── JournalFull          no room on the disk: 452 4.3.1
│   ├── JournalUnavailable   failing, closed, quorum lost: 451 4.3.0
│   └── MailGone             retention has removed this sequence
├── InboxUnavailable     the index of the inbox is being made, or can't be read or written
├── SinkUnavailable      a sink can't come up; the message carries the remedy
├── NotReceived          a test waited for a mail that did not come; an AssertionError too
└── ScriptError          a script that can't be loaded or a call that failed, with file and line
    └── ScriptDied           its process has ended, or was killed, in the middle of a call
        └── NotBegun             … or before it came to this call
```

A message says what is wrong, where, and what to do about it: it is read by a person in a log or a terminal.
"""

from collections.abc import Sequence


class MailbellError(Exception):
    """The root of the tree."""


class ConfigError(MailbellError):
    """Settings that can't be used; `problems` has a line each: `file: key: what is wrong, the remedy`."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class StartupError(MailbellError):
    """The machine does not allow what the settings ask for."""


class ListenError(StartupError):
    """A listening socket can't be had."""


class DataError(StartupError):
    """The data folder can't be used."""


class JournalError(MailbellError):
    """The journal did not take, or does not have, a mail."""


class JournalFull(JournalError):
    """No room on stable storage."""


class JournalUnavailable(JournalError):
    """The journal can't be written at the moment."""


class MailGone(JournalError):
    """The sequence asked for is no longer in the journal."""


class InboxUnavailable(MailbellError):
    """The index of the inbox can't be asked at the moment."""


class SinkUnavailable(MailbellError):
    """A sink can't come up; it is tried again later."""


class NotReceived(MailbellError, AssertionError):
    """A test waited for a mail that did not come; the message shows what came instead."""


class ScriptError(MailbellError):
    """A script can't be loaded, or a call of it failed."""

    def __init__(self, message: str, file: str | None = None) -> None:
        super().__init__(message if file is None else f"{file}: {message}")


class ScriptDied(ScriptError):
    """The process of a script has ended, or was killed, in the middle of what was asked of it."""


class NotBegun(ScriptDied):
    """It had not come to this request: whoever asked can ask another process, as if nothing had been."""
