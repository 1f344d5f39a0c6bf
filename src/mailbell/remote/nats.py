"""A connection to NATS that is made anew for as long as it is wanted."""

import asyncio
import itertools
import logging
import secrets
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import nkeys  # type: ignore[import-untyped]
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.transport import TcpTransport
from nats.errors import Error

from mailbell.errors import MailbellError, SinkUnavailable
from mailbell.remote.secrets import Mask
from mailbell.remote.tls import client_context

CLOSE_TIMEOUT = 0.5
PING_EVERY = 2
UNANSWERED_PINGS = 2
"""Seconds between signs of life, and how many may go unanswered: a link that is cut shows after that."""

NO_RESPONDERS = "503"

BROKEN = (Error, OSError, RuntimeError)
"""What nats-py says on a line that is cut; RuntimeError comes from uvloop."""

logger = logging.getLogger("mailbell.nats")


class NatsUnavailable(MailbellError):
    """There is no connection to NATS, or it did not answer in time."""


class NobodyThere(NatsUnavailable):
    """The server runs, and has nobody who answers at this subject."""


class NatsOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where, and who we are there. `nkey` is a file with the seed, `credentials` one of `nsc`."""

    servers: tuple[str, ...]
    user: str = ""
    password: str = ""
    token: str = ""
    nkey: Path | None = None
    credentials: Path | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    timeout: float = 5.0
    """Seconds for all of connecting."""

    @property
    def addresses(self) -> str:
        """The servers for people, without what is secret."""
        return ", ".join(url.rpartition("@")[2].rpartition("//")[2] for url in self.servers)

    def mask(self) -> Mask:
        """What keeps the secrets out of other people's words."""
        userinfos = (url.rpartition("@")[0].rpartition("/")[2] for url in self.servers)
        parts = (part for each in userinfos for part in (each, *each.split(":")))
        return Mask([self.password, self.token, *parts])

    def __repr__(self) -> str:
        return f"<NatsOptions {self.addresses}>"


class _Client(Client):
    """nats-py 2.16, on a line that is cut or frozen, gives up closing half-way, or waits, and tells nobody.

    So nothing is left that it could still want to say.
    """

    async def _process_op_err(self, e: Exception) -> None:
        self._pending, self._pending_data_size = [], 0
        writer = self._transport._io_writer if isinstance(self._transport, TcpTransport) else None  # noqa: SLF001
        if writer is not None:
            writer.transport.abort()
        await super()._process_op_err(e)


class NatsLink:
    """One client for one connection: nats-py gives up for good after some errors of a server.

    `up` is set while there is one. What is under way when it breaks fails at once with NatsUnavailable.
    """

    def __init__(self, who: str, options: NatsOptions, delays: Sequence[float]) -> None:
        """`who` stands in front of each line of the log; `delays` between the tries to connect again."""
        self.who = who
        self.options = options
        self.mask = options.mask()
        self.up = asyncio.Event()
        self.on_up: list[Callable[[], Awaitable[None]]] = []
        """Called after each connecting: subscriptions end with their connection."""
        self._delays = delays
        self._client: Client | None = None
        self._down = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._waiting: dict[str, asyncio.Future[Msg]] = {}
        self._inbox = ""

    def __repr__(self) -> str:
        return f"<NatsLink {self.who}: {self.options.addresses}, {'up' if self.up.is_set() else 'down'}>"

    @property
    def client(self) -> Client:
        """The client; NatsUnavailable where there is no connection."""
        if self._client is None or not self.up.is_set():
            raise NatsUnavailable(f"not connected to nats {self.options.addresses}")
        return self._client

    @property
    def clustered(self) -> bool:
        """Whether the server is one of several; they say so when they greet."""
        return bool(self.client._server_info.get("cluster"))  # noqa: SLF001  nats-py keeps it to itself

    async def start(self) -> None:
        """Connect, and stay so; NatsUnavailable says why that is not possible now."""
        await self._connect()
        self._keeper = asyncio.get_running_loop().create_task(self._keep(), name=self.who)

    async def stop(self) -> None:
        """Disconnect."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        self.up.clear()
        self._fail("the connection was closed")
        if self._client is not None:
            await _close(self._client)

    def lost(self) -> None:
        """The connection is of no use any more: a new one is made."""
        if self.up.is_set():
            self.up.clear()
            self._fail(f"the connection to nats {self.options.addresses} is lost")
            self._down.set()

    def look(self) -> None:
        """Something went wrong: see whether the client still is connected."""
        if self._client is not None and not self._client.is_connected:
            self.lost()

    async def request(
        self, subject: str, payload: bytes = b"", headers: Mapping[str, str] | None = None, *, within: float
    ) -> Msg:
        """Ask; NatsUnavailable without an answer in time, or where nobody is there to give one."""
        client = self.client
        token = secrets.token_hex(8)
        answer: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[token] = answer
        try:
            async with asyncio.timeout(within):
                await client.publish(subject, payload, f"{self._inbox}.{token}", dict(headers or {}) or None)
                message = await answer
        except TimeoutError:
            raise NatsUnavailable(f"nats {self.options.addresses}: no answer in {within:g} s") from None
        except BROKEN as error:
            raise NatsUnavailable(f"nats {self.options.addresses}: {self.mask(error)}") from None
        finally:
            self._waiting.pop(token, None)
        if message.headers and message.headers.get("Status") == NO_RESPONDERS and not message.data:
            raise NobodyThere(f"nats {self.options.addresses}: nobody answers at {subject}")
        return message

    async def publish(self, subject: str, payload: bytes = b"", reply: str = "") -> None:
        """Send; NatsUnavailable where that is not possible now."""
        client = self.client
        try:
            async with asyncio.timeout(self.options.timeout):
                await client.publish(subject, payload, reply)
        except BROKEN as error:
            why = self.mask(error) or "not sent in time"
            raise NatsUnavailable(f"nats {self.options.addresses}: {why}") from None

    async def _answered(self, message: Msg) -> None:
        answer = self._waiting.get(message.subject.rpartition(".")[2])
        if answer is not None and not answer.done():
            answer.set_result(message)

    def _fail(self, why: str) -> None:
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(NatsUnavailable(why))

    async def _keep(self) -> None:
        while True:
            while not self._down.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(PING_EVERY):
                        await self._down.wait()
                self.look()  # after a server's -ERR nobody is told of the end, either
            logger.warning("%s: the connection to nats %s is lost", self.who, self.options.addresses)
            for attempt in itertools.count():
                await asyncio.sleep(self._delays[min(attempt, len(self._delays) - 1)])
                try:
                    await self._connect()
                    break
                except NatsUnavailable as error:
                    logger.warning("%s: not connected: %s", self.who, error)
            logger.info("%s: connected again", self.who)

    async def _connect(self) -> None:
        context = self._context()
        _check_keys(self.options)
        client, errors = _Client(), list[Exception]()

        async def on_error(error: Exception) -> None:
            errors.append(error)
            del errors[:-1]

        async def on_close() -> None:
            if client is self._client:
                self.lost()

        try:
            async with asyncio.timeout(self.options.timeout):
                await self._open(client, context, on_error, on_close)
                self._inbox = client.new_inbox()
                await client.subscribe(f"{self._inbox}.*", cb=self._answered)
        except (Error, OSError, ValueError, TimeoutError) as error:
            await _close(client)
            why = str((errors or [error])[-1]) or f"no answer within {self.options.timeout:g} s"
            raise NatsUnavailable(f"nats {self.options.addresses}: {self.mask(why)}") from None
        except BaseException:
            await _close(client)
            raise
        if self._client is not None:
            await _close(self._client)
        self._client = client
        self._down.clear()
        self.up.set()
        for each in self.on_up:
            await each()

    async def _open(
        self,
        client: Client,
        context: ssl.SSLContext | None,
        on_error: Callable[[Exception], Awaitable[None]],
        on_close: Callable[[], Awaitable[None]],
    ) -> None:
        options = self.options
        await client.connect(
            list(options.servers),
            name="mailbell",
            user=options.user or None,
            password=options.password or None,
            token=options.token or None,
            nkeys_seed=str(options.nkey) if options.nkey else None,
            user_credentials=str(options.credentials) if options.credentials else None,
            tls=context,
            error_cb=on_error,
            closed_cb=on_close,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            flush_timeout=options.timeout,  # else who waits for 2 MiB to go out may wait for ever
            reconnect_time_wait=0,
            connect_timeout=max(options.timeout / 2, 0.5),  # type: ignore[arg-type]  # so a second one is tried
            ping_interval=PING_EVERY,
            max_outstanding_pings=UNANSWERED_PINGS,
        )

    def _context(self) -> ssl.SSLContext | None:
        options = self.options
        if not (options.ca or options.certificate or any(url.startswith("tls:") for url in options.servers)):
            return None
        try:
            return client_context(options.ca, options.certificate, options.key)
        except SinkUnavailable as error:
            raise NatsUnavailable(str(error)) from error


def _check_keys(options: NatsOptions) -> None:
    """nats-py speaks of such a file in riddles."""
    try:
        if options.nkey is not None:
            nkeys.from_seed(bytearray(options.nkey.read_bytes().strip()))
        if (
            options.credentials is not None
            and b"BEGIN USER NKEY SEED" not in options.credentials.read_bytes()
        ):
            raise NatsUnavailable(f"credentials: {options.credentials} is no file as nsc makes it")
    except OSError as error:
        raise NatsUnavailable(f"{error.filename}: {error.strerror}") from None
    except (ValueError, nkeys.NkeysError):
        raise NatsUnavailable(f"nkey: {options.nkey} holds no seed of an NKey") from None


async def _close(client: Client) -> None:
    """nats-py 2.16 waits for ever for the end of a connection whose TLS handshake failed."""
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await client.close()
