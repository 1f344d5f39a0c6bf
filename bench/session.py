"""What the session alone costs, without socket and journal: `python -m bench.session`."""

import base64
import os
import time
from collections.abc import Callable, Iterable

from mailbell.smtp.replies import Reply
from mailbell.smtp.session import MailComplete, Record, Session, SessionOptions

OPTIONS = SessionOptions()
BODY = b"Subject: bench\r\n\r\n" + b"The quick brown fox jumps over it. 0123456789 abcdefgh\r\n" * 18
DIALOGUE = [
    b"EHLO client.example\r\n",
    b"MAIL FROM:<camera@example.com>\r\n",
    b"RCPT TO:<alarm@example.com>\r\n",
    b"DATA\r\n",
    BODY + b".\r\n",
    b"QUIT\r\n",
]
BIG = 10 * 2**20


def play(pieces: Iterable[bytes], record: Record | None = None) -> None:
    """One connection: a new session, every piece given, every answer given and taken."""
    session = Session(OPTIONS, record)
    session.greet()
    session.data_to_send()
    for piece in pieces:
        session.receive(piece)
        for event in session.events():
            if isinstance(event, MailComplete):
                session.reply(Reply(250, "2.0.0", "OK 0190f5e3-7c1d-7000-8000-000000000000"))
        session.data_to_send()


def best(call: Callable[[], object], number: int, repeat: int = 7) -> float:
    """The shortest time of a call in seconds: what is above it is the rest of the machine."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        for _ in range(number):
            call()
        times.append((time.perf_counter() - start) / number)
    return min(times)


def receive_big(content: bytes, size: int) -> Callable[[], None]:
    """A session that reads a big message in pieces of this size."""
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    return lambda: play([*DIALOGUE[:4], *pieces, *DIALOGUE[5:]])


def contents() -> dict[str, bytes]:
    """Ten MiB each of what there is: base64 as in attachments, text with dots, text that is all dots."""
    lines = {
        "base64": base64.b64encode(os.urandom(57)),
        "text": b"The quick brown fox. It jumps over the lazy dog. And so on, and so forth.",
        "dots": b"..The quick brown fox. It jumps over the lazy dog. And so on, and so forth.",
    }
    return {name: (line + b"\r\n") * (BIG // (len(line) + 2)) + b".\r\n" for name, line in lines.items()}


def main() -> None:
    """Print the table."""
    forms = {
        "6 pieces": lambda: play(DIALOGUE),
        "6 pieces, with transcript": lambda: play(DIALOGUE, lambda mark, line: None),
        "pipelined in 1": lambda: play([b"".join(DIALOGUE)]),
        "byte by byte": lambda: play([bytes([octet]) for octet in b"".join(DIALOGUE)]),
    }
    print("one mail of 1 KB")
    for name, call in forms.items():
        print(f"  {name:26} {best(call, 2000) * 1e6:8.1f} µs")
    print("one mail of 10 MiB")
    for name, content in contents().items():
        for size in (16384, 65536, 262144):
            rate = len(content) / best(receive_big(content, size), 1)
            print(f"  {name:6} in {size // 1024:3} KiB pieces       {rate / 1e6:8.0f} MB/s")


if __name__ == "__main__":
    main()
