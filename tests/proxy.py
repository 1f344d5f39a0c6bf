"""A link that can be cut: a proxy that stops forwarding, in both directions, and may go on later."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """What goes in one direction."""

    def __init__(self) -> None:
        self.open = True
        self.sides: list[Side] = []

    def shut(self) -> None:
        self.open = False

    def heal(self) -> None:
        self.open = True
        for side in self.sides:
            side.go_on()


class Side(asyncio.Protocol):
    """One end of a connection: what comes in here goes out at the other end."""

    def __init__(self, gate: Gate, other: "Side | None", proxy: "Proxy") -> None:
        self.transport: asyncio.Transport | None = None
        self.other = other
        self._gate = gate
        self._proxy = proxy
        self._waiting: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert hasattr(transport, "write")
        self.transport = transport  # type: ignore[assignment]  # uvloop has types of its own
        self._gate.sides.append(self)
        if self.other is None:
            self._proxy.connect(self)
        else:
            self.other.other = self
            self.other.go_on()

    def data_received(self, data: bytes) -> None:
        self._waiting.append(data)
        self.go_on()

    def go_on(self) -> None:
        if self._gate.open and self.other is not None and self.other.transport is not None:
            for data in self._waiting:
                self.other.transport.write(data)
            self._waiting.clear()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gate.sides.remove(self)
        self.transport = None
        if self.other is not None and self.other.transport is not None and self._gate.open:
            self.other.transport.close()  # over a link that is cut nobody hears of the end


class Proxy:
    """Forwards 127.0.0.1:`port` to another port of the loopback. What comes while it is cut waits."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self._there, self._back = Gate(), Gate()
        self._connecting: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Side(self._there, None, self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Nothing gets through any more."""
        self._there.shut()
        self._back.shut()

    def cut_answers(self) -> None:
        """What is asked gets through, what is answered does not."""
        self._back.shut()

    def heal(self) -> None:
        """All that has waited gets through now."""
        self._there.heal()
        self._back.heal()

    def drop(self) -> None:
        """Break what is connected."""
        for side in [*self._there.sides, *self._back.sides]:
            if side.transport is not None:
                side.transport.abort()

    def freeze(self) -> None:
        """Read no more from what is connected, and say nothing of it; who comes now is served."""
        for side in [*self._there.sides, *self._back.sides]:
            if side.transport is not None:
                side.transport.pause_reading()

    def connect(self, side: Side) -> None:
        task = asyncio.get_running_loop().create_task(self._connect(side))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, side: Side) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: Side(self._back, side, self), "127.0.0.1", self.target)
        except OSError:
            assert side.transport is not None
            side.transport.close()

    async def stop(self) -> None:
        self._server.close()
        if self._connecting:
            await asyncio.wait(self._connecting)
        self.drop()
        while self._there.sides or self._back.sides:  # noqa: ASYNC110  the loop tells each of its end
            await asyncio.sleep(0.001)


@asynccontextmanager
async def proxied(target: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(target)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
