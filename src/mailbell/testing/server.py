"""A server for tests: a real one, in a thread of this process, on a free port; and what arrived at it.

```python
with Mailbell() as server:
    send_welcome_mail(server.host, server.port)
    assert server.wait_for(to="new@example.com").subject == "Welcome"
```

Theory of operation. The whole `App` runs in a thread with a loop of its own, on a data folder that goes with
it; a consumer of its journal notes what arrives. Each call is a question to that loop: so it works from any
thread, with or without a loop there, and an answer knows of every mail that got its 250 before. Nothing
heavy is imported before `start()`: the pytest plugin costs those nothing who don't use it.
"""

import asyncio
import tempfile
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from mailbell.server.chaos import Command
    from mailbell.server.ioserver import IoServer
    from mailbell.settings import IoServerSettings, ServiceSettings
    from mailbell.testing.arrivals import Arrivals, Received, Wanted

STOP_WITHIN = 30.0
"""Seconds; the ladder of `App` is well below."""

ID = "smtp"
TIMEOUT = 5.0

T = TypeVar("T")


class Mailbell:
    """A running server and what arrived at it. A context manager, also an asynchronous one."""

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        users: Mapping[str, str] | None = None,
        web: bool = False,
        **options: Any,
    ) -> None:
        """Nothing runs yet. `port` 0 is a free one; `users` are the only ones who may send, with passwords.

        `web` adds the inbox and its API, at `url`. `options` are those of an I/O server (docs/settings.md):
        `max_size`, `tls="implicit"`, `auth="off"`… There is no TLS unless it is asked for.
        """
        self.host = host
        self.port = port
        """Where it listens, once it has started."""
        self.url: str | None = None
        """Where the API answers; None without `web`."""
        self._users = users
        self._web = web
        self._options = {"tls": "off", **options}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._server: IoServer
        self._arrivals: Arrivals

    def __repr__(self) -> str:
        return f"<Mailbell {self.host}:{self.port}{'' if self._thread else ' stopped'}>"

    # Its life.

    def start(self) -> None:
        """Listen. ValueError for an option that there is not; StartupError when the port can't be had."""
        if self._thread is not None:
            raise RuntimeError(f"{self!r} runs already")
        self._folder = tempfile.TemporaryDirectory(prefix="mailbell-")
        try:
            settings = self._settings(Path(self._folder.name))
            started: Future[None] = Future()
            self._thread = threading.Thread(target=self._run, args=(settings, started), daemon=True)
            self._thread.start()
            started.result()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop, and forget everything. May be called twice."""
        thread, self._thread = self._thread, None
        if thread is not None:
            if thread.is_alive() and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._stop.set)
            thread.join(STOP_WITHIN)
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)

    # What arrived.

    @property
    def events(self) -> "list[Received]":
        """All that arrived since the start, or the last `clear`, in order."""
        return self._ask(lambda: self._arrivals.all())

    def wait_for(
        self,
        *,
        to: str | None = None,
        from_: str | None = None,
        subject: str | None = None,
        text: str | None = None,
        where: "Callable[[Received], object] | None" = None,
        count: int = 1,
        timeout: float = TIMEOUT,
    ) -> "Received":
        """Return the first mail (or the `count`th) for which all that is given holds, also an earlier one.

        `to` and `from_` are those of the envelope. Values are globs without regard to case, or regular
        expressions after `re:`, as in a sink's `match`. NotReceived, an AssertionError that shows what did
        arrive, when there is none within `timeout` seconds.
        """
        wanted = _wanted(to, from_, subject, text, where, count)
        return self._ask(lambda: self._arrivals.wait(wanted, timeout))

    async def wait_for_async(
        self,
        *,
        to: str | None = None,
        from_: str | None = None,
        subject: str | None = None,
        text: str | None = None,
        where: "Callable[[Received], object] | None" = None,
        count: int = 1,
        timeout: float = TIMEOUT,  # noqa: ASYNC109  the failure shows what did arrive
    ) -> "Received":
        """`wait_for` for a test that itself runs on an asyncio loop, which goes on meanwhile."""
        wanted = _wanted(to, from_, subject, text, where, count)
        return await asyncio.wrap_future(self._submit(lambda: self._arrivals.wait(wanted, timeout)))

    def clear(self) -> None:
        """Forget what has arrived so far, and failures that were planned."""
        self._ask(self._clear)

    # What goes wrong.

    def fail_next(self, command: "Command", code: int = 451, *, times: int = 1) -> None:
        """Refuse the next MAIL, RCPT, AUTH or message (DATA: behind its final dot) with this reply.

        ValueError when `code` is not one of a refusal, 400 to 599.
        """
        self._ask(lambda: self._plan(command, code, times))

    @property
    def certificate(self) -> Path:
        """The self-signed certificate, for clients to trust, where `tls` is on."""
        if self._folder is None:
            raise RuntimeError(f"{self!r} has no certificate")
        return Path(self._folder.name) / "tls" / "certificate.pem"

    # On the side of the server.

    def _settings(self, folder: Path) -> "ServiceSettings":
        from mailbell.settings import LogSettings, ServiceSettings, WebSettings

        return ServiceSettings(
            data=folder,
            ioservers={ID: _ioserver(self.host, self.port, self._users, folder, self._options)},
            log=LogSettings(terminal=False),
            web=WebSettings(listen="127.0.0.1:0" if self._web else "off"),
        )

    def _run(self, settings: "ServiceSettings", started: "Future[None]") -> None:
        try:
            with asyncio.Runner() as runner:
                self._loop, self._stop = runner.get_loop(), asyncio.Event()
                runner.run(self._serve(settings, started))
        except Exception as error:
            if started.done():
                raise
            started.set_exception(error)

    async def _serve(self, settings: "ServiceSettings", started: "Future[None]") -> None:
        from mailbell.app import App
        from mailbell.testing.arrivals import Arrivals

        async with App(settings, embedded=True) as app:
            self._server, self.url = app.receiving.servers[ID], app.url
            self.port = self._server.port
            journal = app.delivering.journal  # type: ignore[union-attr]  # in this process
            async with Arrivals(journal, app.receiving.transcripts) as self._arrivals:
                started.set_result(None)
                await self._stop.wait()

    async def _clear(self) -> None:
        self._server.chaos.forget()
        await self._arrivals.clear()

    async def _plan(self, command: "Command", code: int, times: int) -> None:
        self._server.chaos.plan(command, code, times)

    def _submit(self, question: Callable[[], Coroutine[Any, Any, T]]) -> "Future[T]":
        if self._thread is None:
            raise RuntimeError(f"{self!r}: start() it, or use it in a with statement")
        return asyncio.run_coroutine_threadsafe(question(), self._loop)

    def _ask(self, question: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return self._submit(question).result()


def _ioserver(
    host: str, port: int, users: Mapping[str, str] | None, folder: Path, options: Mapping[str, Any]
) -> "IoServerSettings":
    """The settings, held to their types and ranges; ValueError says which are not."""
    import msgspec

    from mailbell.settings import IoServerSettings, dec_hook

    given: dict[str, Any] = {"listen": [host], **options}
    if users is not None:
        given |= {"auth": "required", "auth_plaintext": True, "users": _write_users(folder / "users", users)}
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
    settings = msgspec.convert(plain, IoServerSettings, dec_hook=dec_hook)
    return msgspec.structs.replace(settings, port=port)  # 0 is no port that a file may name


def _write_users(path: Path, users: Mapping[str, str]) -> str:
    """Readable, so that CRAM-MD5 works."""
    path.write_text("".join(f"{name}:{{PLAIN}}{password}\n" for name, password in users.items()))
    return str(path)


def _wanted(
    to: str | None,
    from_: str | None,
    subject: str | None,
    text: str | None,
    where: "Callable[[Received], object] | None",
    count: int,
) -> "Wanted":
    from mailbell.testing.arrivals import Wanted

    given = {"to": to, "from_": from_, "subject": subject, "text": text}
    return Wanted({name: value for name, value in given.items() if value is not None}, where, count)
