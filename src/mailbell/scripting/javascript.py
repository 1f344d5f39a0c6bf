"""JavaScript and EVENTS files, run by quickjs-ng in sloppy mode.

Traps of quickjs-ng 0.17: a time limit excludes calls from JavaScript to Python, so there is none here and
the parent holds the clock; raw strings break at NUL and at lone surrogates, so values cross as JSON;
evaluating to a BigInt raises. `_quickjs` is imported, not `quickjs`, whose import starts a thread and takes
twice as long.
"""

import json
import re
from collections.abc import Callable
from typing import Any

import _quickjs  # type: ignore[import-not-found]

from mailbell.scripting import events_file, js_tokens
from mailbell.scripting.script import CALLBACKS, ERROR, INFO, INIT, Builtins, Fault, Handler, Script, Trigger

_PRELUDE = """
(function (host) {
  const { parse, stringify } = JSON, text = String, global = globalThis
  const nullable = value => value === undefined || value === null ? null : text(value)
  const mailbell_ask = (what, ...values) => parse(host(what, stringify(values)))
  const builtins = {
    messageLog(line) { host("info", stringify([text(line)])) },
    errorLog(line) { host("error", stringify([text(line)])) },
    varGet(name) { return mailbell_ask("var_get", text(name)) },
    varSet(name, value) { host("var_set", stringify([text(name), nullable(value)])) },
    ioGet(name) { return mailbell_ask("io_get", text(name)) },
    haActive() { return mailbell_ask("ha_active") },
  }
  for (const name in builtins)
    Object.defineProperty(global, name, { value: builtins[name], writable: true, configurable: true })

  let rejected
  function describe(error) {
    let message, stack = ""
    try {
      message = text(error)
      if (error instanceof Error) stack = text(error.stack)
      else message = "uncaught " + (typeof error === "object" && error !== null ? stringify(error) : message)
    } catch { message = "uncaught " + typeof error }
    return stringify([message, stack])
  }
  return [
    function mailbell_trigger(values) { [global.triggerKey, global.triggerValue] = parse(values) },
    function mailbell_call(callback, values) {
      rejected = null
      try {
        const result = values === null
          ? callback(global.triggerKey, global.triggerValue)
          : callback(...parse(values))
        if (result instanceof Promise) result.catch(error => { rejected = describe(error) })
      } catch (error) { return describe(error) }
      return null
    },
    function mailbell_rejected() { return rejected },
  ]
})
"""

_OWN_FRAMES = frozenset(
    [
        "mailbell_trigger",
        "mailbell_call",
        "mailbell_ask",
        "messageLog",
        "errorLog",
        "varGet",
        "varSet",
        "ioGet",
        "haActive",
    ]
)
_FRAME = re.compile(r"^ *at (?:(.*?) \()?<input>:([0-9]+)", re.MULTILINE)
_NOT_DEFINED = re.compile(r"ReferenceError: (\S+) is not defined")
_OUT_OF_MEMORY = "InternalError: out of memory"


class Engine:
    """One JavaScript context with the built-in functions in it."""

    def __init__(self, builtins: Builtins, memory_limit: int) -> None:
        self._builtins = builtins
        self._context = _quickjs.Context()
        self._context.set_memory_limit(memory_limit)
        self._context.add_callable("mailbell_host", self._host)
        self._context.eval(f"mailbell_prelude = {_PRELUDE}(mailbell_host); __run = {builtins.run}")
        self._trigger, self._invoke, self._rejected = (
            self._context.eval(f"mailbell_prelude[{index}]") for index in range(3)
        )
        self._context.eval("delete globalThis.mailbell_prelude; delete globalThis.mailbell_host")

    def _host(self, what: str, values: str) -> str | None:
        """Serve a built-in function. Must not raise: quickjs-ng would lose the exception."""
        match what, json.loads(values):
            case "info", [text]:
                self._builtins.log(INFO, text)
            case "error", [text]:
                self._builtins.log(ERROR, text)
            case "var_set", [name, value]:
                self._builtins.var_set(name, value)
            case "var_get", [name]:
                return json.dumps(self._builtins.var_get(name))
            case "io_get", [name]:
                return json.dumps(self._builtins.io_get(name))
            case "ha_active", []:
                return json.dumps(self._builtins.active)
        return None

    def trigger(self, key: str, value: str) -> None:
        """Set `triggerKey` and `triggerValue`."""
        self._guard(lambda: self._trigger(json.dumps([key, value])))

    def run(self, source: str, line: int = 1) -> None:
        """Run source text at global scope; its errors count lines from `line`."""
        self._evaluate("", source, "\n;void 0", line)
        self._settle()

    def define(self, function: events_file.Function) -> None:
        """Define a global function."""
        head = f"function {function.name}({function.arguments}) {{"
        self._evaluate(head, function.body, "\n}", function.line)

    def compile(self, body: str, line: int) -> Any:
        """Compile the body of a function without arguments."""
        return self._evaluate("(function () {", body, "\n})", line)

    def find(self, name: str) -> Any:
        """Return the global function of this name, or None."""
        return self._guard(lambda: self._context.eval(f"typeof {name} === 'function' ? {name} : null"))

    def defines(self, name: str) -> bool:
        """Tell whether there is a global of this name, of ours, of the language or of the script."""
        return bool(self._guard(lambda: self._context.eval(f"typeof {name} !== 'undefined'")))

    def call(self, function: Any, arguments: tuple[object, ...] | None) -> None:
        """Call a function, by default with the key and value of the trigger; Fault if it throws."""
        values = None if arguments is None else json.dumps(arguments)
        fault = self._guard(lambda: self._invoke(function, values))
        self._settle()
        if fault is None:
            fault = self._guard(self._rejected)
        if fault is not None:
            raise _fault(*json.loads(fault))

    def _settle(self) -> None:
        """Run what promises have left to do."""
        while self._guard(self._context.execute_pending_job):
            pass

    def _evaluate(self, before: str, source: str, after: str, line: int) -> Any:
        last = line + source.count("\n")
        try:
            return self._guard(lambda: self._context.eval("\n" * (line - 1) + before + source + after))
        except Fault as fault:
            if fault.line == last + 1:  # something is missing at the end; `after` is no line of the file
                fault.line = last
            raise

    def _guard(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except _quickjs.JSException as error:
            message, newline, stack = str(error).partition("\n    at ")
            raise _fault(message.removesuffix("\nundefined").rstrip(), newline + stack) from None
        except (SystemError, UnicodeDecodeError):
            # quickjs-ng could make no Python exception of it, or no text
            raise Fault("an exception that can't be shown") from None


def _fault(message: str, stack: str) -> Fault:
    frames = [(name, int(line)) for name, line in _FRAME.findall(stack) if name not in _OWN_FRAMES]
    # a frame without a name is a place in what was parsed; in what JSON.parse was given, too
    frames.sort(key=lambda frame: not frame[0])
    missing = _NOT_DEFINED.fullmatch(message)
    return Fault(
        message,
        frames[0][1] if frames else None,
        missing=missing[1] if missing else None,
        fatal=message == _OUT_OF_MEMORY,
    )


class _JavaScript(Script):
    def __init__(self, builtins: Builtins, memory_limit: int) -> None:
        super().__init__()
        self.builtins = builtins
        self.engine = Engine(builtins, memory_limit)
        self.pieces: list[tuple[str, int]] = []

    def before(self, trigger: Trigger) -> None:
        self.engine.trigger(trigger.key, trigger.value)

    def undefined(self) -> dict[str, int]:
        called = js_tokens.called_names(self.pieces)
        return {name: line for name, line in called.items() if not self.engine.defines(name)}

    def callback(self, name: str) -> Handler | None:
        """Make the handler for a callback, if the script defines it."""
        function = self.engine.find(name)
        if function is None:
            return None
        call = self.engine.call
        if name == "IOEvent":  # its arguments are in JavaScript already
            return CALLBACKS[name].handler(name, lambda _: call(function, None))
        return CALLBACKS[name].handler(name, lambda arguments: call(function, arguments))


class JavaScriptFile(_JavaScript):
    """A `.js` file."""

    def __init__(self, source: str, path: str, builtins: Builtins, memory_limit: int) -> None:
        super().__init__(builtins, memory_limit)
        self.pieces = [(source, 1)]
        self.engine.run(source)
        self.handlers = [handler for name in CALLBACKS if (handler := self.callback(name))]


class EventsFile(_JavaScript):
    """An EVENTS file. A unit in error is left out."""

    def __init__(self, source: str, path: str, builtins: Builtins, memory_limit: int) -> None:
        super().__init__(builtins, memory_limit)
        units, self.problems = events_file.parse(source)
        for unit in units:
            self.pieces.append((unit.body, unit.line))
            try:
                self._add(unit)
            except Fault as fault:
                fault.line = max(unit.line, fault.line or 0)
                self.problems.append(fault)

    def _add(self, unit: events_file.Unit) -> None:
        if isinstance(unit, events_file.Rule):
            self.handlers.append(self._rule(unit))
            return
        self.engine.define(unit)
        if unit.name in CALLBACKS and (handler := self.callback(unit.name)):
            self.handlers.append(handler)

    def _rule(self, rule: events_file.Rule) -> Handler:
        condition, lookup = rule.condition, self.builtins.io_get
        return Handler(
            f"the rule at line {rule.line}",
            bool(condition.names),
            lambda trigger: condition.holds(trigger, lookup),
            self._action(rule),
        )

    def _action(self, rule: events_file.Rule) -> Callable[[Trigger], None]:
        function = self.engine.compile(rule.body, rule.line)
        if rule.condition.kinds == {INIT} and not rule.condition.names:
            # at global scope: what an INIT action declares is there for all others
            return lambda _: self.engine.run(rule.body, rule.line)
        return lambda _: self.engine.call(function, None)
