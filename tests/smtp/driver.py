"""A shell without I/O around a session: answers every event at once, keeps everything that happened."""

from collections.abc import Iterable
from typing import Any

from mailbell.mail import Tls
from mailbell.smtp.events import Said, shown
from mailbell.smtp.replies import Reply
from mailbell.smtp.session import Close, Credentials, Event, MailComplete, Session, SessionOptions, StartTls

STORED = Reply(250, "2.0.0", "OK 1")
TLS = Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384")


class Driver:
    """`say` gives octets and returns the replies to them; `lines` is the transcript."""

    def __init__(self, options: SessionOptions | None = None, *, accept: bool = True, **hooks: Any) -> None:
        self.lines: list[str] = []
        self.session = Session(options or SessionOptions(), self._record, **hooks)
        self.accept = accept
        self.answer = STORED
        self.seen: list[Event] = []
        self.session.greet()
        self.greeting = self.session.data_to_send().decode()

    def _record(self, mark: str, said: Said) -> None:
        self.lines += [f"{mark} {line}" for line in shown(said)]

    def say(self, data: bytes) -> str:
        self.session.receive(data)
        self._answer()
        return self.session.data_to_send().decode()

    def say_all(self, pieces: Iterable[bytes]) -> str:
        return "".join([self.say(piece) for piece in pieces])

    def codes(self, data: bytes) -> list[int]:
        """The code of each reply, continuation lines left out."""
        return [int(line[:3]) for line in self.say(data).splitlines() if line[3] == " "]

    def _answer(self) -> None:
        while events := self.session.events():
            self.seen += events
            for event in events:
                match event:
                    case MailComplete():
                        self.session.reply(self.answer)
                    case Credentials():
                        self.session.credentials_checked(self.accept)
                    case StartTls():
                        self.session.tls_started(TLS)

    @property
    def mails(self) -> list[MailComplete]:
        return [event for event in self.seen if isinstance(event, MailComplete)]

    @property
    def raw(self) -> bytes:
        """The content of the only mail."""
        (mail,) = self.mails
        return mail.raw

    @property
    def credentials(self) -> list[Credentials]:
        return [event for event in self.seen if isinstance(event, Credentials)]

    @property
    def reason(self) -> str | None:
        """Why the session is closed; None while it is not."""
        return next((event.reason for event in self.seen if isinstance(event, Close)), None)
