"""What JavaScript, Python and EVENTS files have in common. For the child: imports are few, so it starts fast.

A script is a list of handlers. A trigger goes to each handler that wants it, in the order of the file.
"""

from collections.abc import Callable

IO, INIT, HSYCOSTART, IOSTART, HAACTIVE = "IO", "INIT", "HSYCOSTART", "IOSTART", "HAACTIVE"

INFO, ERROR = 0, 1


class Trigger:
    """Something that happened: a data point changed (`IO`), or one of the system's own events."""

    __slots__ = ("active", "event", "key", "kind", "value")

    def __init__(self, kind: str, key: str, value: str, active: bool, event: object = None) -> None:
        self.kind = kind
        self.key = key
        self.value = value
        self.active = active
        self.event = event


class Fault(Exception):
    """An error in user code. `missing`: the name that was not defined; `fatal`: the process can't go on."""

    def __init__(
        self, message: str, line: int | None = None, *, missing: str | None = None, fatal: bool = False
    ) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.missing = missing
        self.fatal = fatal


class Handler:
    """A callback or a rule. `mail` tells whether a mail can get to it."""

    __slots__ = ("call", "mail", "name", "wants")

    def __init__(
        self, name: str, mail: bool, wants: Callable[[Trigger], bool], call: Callable[[Trigger], None]
    ) -> None:
        self.name = name
        self.mail = mail
        self.wants = wants
        self.call = call


class Callback:
    """A function of user code that is called by its name, and with what."""

    def __init__(self, kind: str, arguments: Callable[[Trigger], tuple[object, ...]]) -> None:
        self.kind = kind
        self.arguments = arguments

    def handler(self, name: str, call: Callable[[tuple[object, ...]], None]) -> Handler:
        """Make the handler that calls the function `name` of a script."""
        return Handler(
            name,
            self.kind == IO,
            lambda trigger: trigger.kind == self.kind,
            lambda trigger: call(self.arguments(trigger)),
        )


CALLBACKS = {
    "IOEvent": Callback(IO, lambda trigger: (trigger.key, trigger.value)),
    "on_mail": Callback(IO, lambda trigger: (trigger.event,)),
    "haActiveEvent": Callback(HAACTIVE, lambda trigger: (trigger.active,)),
    "StartupEvent": Callback(HSYCOSTART, lambda trigger: ()),
}


class Script:
    """A loaded file. A unit in error is among the `problems` and not among the handlers."""

    def __init__(self) -> None:
        self.handlers: list[Handler] = []
        self.problems: list[Fault] = []

    def before(self, trigger: Trigger) -> None:
        """Set `triggerKey` and `triggerValue`."""

    def after(self) -> None:
        """Write out what the handlers have printed."""

    def undefined(self) -> dict[str, int]:
        """Find names that are used and exist nowhere, with a line; `if (__run == 1 …)` hides most uses."""
        return {}


class Builtins:
    """The built-in functions of user code, over this process's copy of the shared state."""

    def __init__(self, log: Callable[[int, str], None], run: int) -> None:
        self.run = run
        self.active = True
        self.changed: dict[str, str | None] = {}
        self._log = log
        self._variables: dict[str, str] = {}
        self._points: dict[str, str] = {}

    def update(self, variables: dict[str, str | None], points: dict[str, str], active: bool) -> None:
        """Take over what others have changed."""
        self.active = active
        self._points.update(points)
        for name, value in variables.items():
            self._assign(name, value)

    def log(self, level: int, text: str) -> None:
        """`messageLog` and `errorLog`; nothing in the test-run."""
        if self.run:
            self._log(level, text)

    def var_get(self, name: str) -> str | None:
        """`varGet`: null when there is no such variable."""
        return self._variables.get(name)

    def var_set(self, name: str, value: str | None) -> None:
        """`varSet`; null removes the variable. Others see it once the callback is over."""
        if self.run:
            self.changed[name] = value
            self._assign(name, value)

    def io_get(self, name: str) -> str | None:
        """`ioGet`: the last value of a data point, null when it never had one."""
        return self._points.get(name)

    def take_changed(self) -> dict[str, str | None]:
        """Return what user code has changed since the last call of this."""
        changed, self.changed = self.changed, {}
        return changed

    def _assign(self, name: str, value: str | None) -> None:
        if value is None:
            self._variables.pop(name, None)
        else:
            self._variables[name] = value
