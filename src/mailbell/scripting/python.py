"""Python scripts: a module whose globals hold the built-in functions."""

import io
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from mailbell.scripting.script import CALLBACKS, ERROR, INFO, Builtins, Fault, Handler, Script, Trigger

MODULE = "mailbell_script"
"""Not the name of the file: a script called email.py must not take the place of the module of that name."""


class PythonFile(Script):
    """A `.py` file."""

    def __init__(self, source: str, path: str, builtins: Builtins, memory_limit: int) -> None:
        super().__init__()
        self._path = path
        self._source = source
        self._printed = (_Printed(builtins, INFO, 1), _Printed(builtins, ERROR, 2))
        sys.stdout, sys.stderr = (printed.text for printed in self._printed)
        self._globals = _module(path).__dict__
        self._globals.update(_built_in(builtins))
        self._guard(self._execute)
        self.handlers = [self._handler(name) for name in CALLBACKS if callable(self._globals.get(name))]
        self.after()

    def before(self, trigger: Trigger) -> None:
        self._globals.update(triggerKey=trigger.key, triggerValue=trigger.value)

    def after(self) -> None:
        for printed in self._printed:
            printed.finish()

    def undefined(self) -> dict[str, int]:
        import ast
        import builtins

        used: dict[str, int] = {}
        bound = {*dir(builtins), *self._globals}
        for node in ast.walk(ast.parse(self._source)):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                used[node.id] = min(node.lineno, used.get(node.id, node.lineno))
            else:
                bound |= _bound(node)
        return {name: line for name, line in used.items() if name not in bound}

    def _execute(self) -> None:
        exec(compile(self._source, self._path, "exec", dont_inherit=True), self._globals)  # noqa: S102  the script

    def _handler(self, name: str) -> Handler:
        return CALLBACKS[name].handler(
            name, lambda arguments: self._guard(lambda: _finish(self._globals[name](*arguments)))
        )

    def _guard(self, action: Callable[[], None]) -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001  user code may raise anything; all of it is reported
            raise self._fault(error) from None

    def _fault(self, error: BaseException) -> Fault:
        line, frame = None, error.__traceback__
        while frame is not None:
            if frame.tb_frame.f_code.co_filename == self._path:
                line = frame.tb_lineno
            frame = frame.tb_next
        text = str(error)
        if isinstance(error, SyntaxError) and error.filename == self._path:
            line, text = error.lineno, error.msg
        name = type(error).__name__
        return Fault(
            f"{name}: {text}" if text else name,
            line,
            missing=error.name if isinstance(error, NameError) else None,
            fatal=isinstance(error, MemoryError),
        )


def _module(path: str) -> ModuleType:
    module = ModuleType(MODULE)
    module.__file__ = path
    sys.modules[MODULE] = module
    sys.path.append(os.path.dirname(os.path.abspath(path)))  # noqa: PTH100, PTH120  pathlib costs a start 10 ms
    return module


def _finish(result: Any) -> None:
    """Run an `async def` callback to its end."""
    if hasattr(result, "__await__"):
        import asyncio

        async def wait() -> None:
            await result

        asyncio.run(wait())


def _built_in(builtins: Builtins) -> dict[str, object]:
    return {
        "__run": builtins.run,
        "triggerKey": "",
        "triggerValue": "",
        "messageLog": lambda text: builtins.log(INFO, _text(text)),
        "errorLog": lambda text: builtins.log(ERROR, _text(text)),
        "varGet": lambda name: builtins.var_get(_text(name)),
        "varSet": lambda name, value: builtins.var_set(_text(name), None if value is None else _text(value)),
        "ioGet": lambda name: builtins.io_get(_text(name)),
        "haActive": lambda: builtins.active,
    }


def _text(value: object) -> str:
    """The text of a value, the same from either language: true, not True."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _bound(node: Any) -> set[str]:
    """Names that a node of the syntax tree gives a meaning to, wherever that is."""
    names = {getattr(node, key, None) for key in ("id", "name", "arg", "asname", "rest")}
    if hasattr(node, "asname"):
        names.add(node.name.partition(".")[0])
    if type(node).__name__ in ("Global", "Nonlocal"):
        names.update(node.names)
    return {name for name in names if isinstance(name, str)}


class _Printed(io.RawIOBase):
    """`sys.stdout` or `sys.stderr` of a script: every line goes to the log, in order with `messageLog`."""

    def __init__(self, builtins: Builtins, level: int, descriptor: int) -> None:
        self._builtins = builtins
        self._level = level
        self._descriptor = descriptor
        self._rest = b""
        self.text = io.TextIOWrapper(
            io.BufferedWriter(self), encoding="utf-8", errors="backslashreplace", line_buffering=True
        )

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        """For programs that the script starts: the parent logs what they print, too."""
        return self._descriptor

    def write(self, data: Any) -> int:
        *lines, self._rest = (self._rest + bytes(data)).split(b"\n")
        for line in lines:
            self._log(line)
        return len(data)

    def finish(self) -> None:
        """Write out a last line without an end."""
        self.text.flush()
        if self._rest:
            self._log(self._rest)
            self._rest = b""

    def _log(self, line: bytes) -> None:
        self._builtins.log(self._level, line.decode("utf-8", "replace"))
