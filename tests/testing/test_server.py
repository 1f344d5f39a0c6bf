"""`mailbell.testing`, used as its users use it: smtplib, threads, loops of their own."""

import asyncio
import logging
import smtplib
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from email.message import EmailMessage

import aiosmtplib
import pytest

from mailbell.errors import ListenError
from mailbell.testing import Mailbell, NotReceived
from tests.tools import free_port


def message(subject: str, to: str = "b@lan", sender: str = "a@lan") -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = sender, to, subject
    made.set_content("hello\n")
    return made


def send(server: Mailbell, subject: str, to: str = "b@lan") -> None:
    with smtplib.SMTP(server.host, server.port) as client:
        client.send_message(message(subject, to))


def test_a_mail_is_an_event_with_all_that_came(mailbell: Mailbell) -> None:
    mail = message("Report")
    mail.add_attachment(b"%PDF-1.7 \0", maintype="application", subtype="pdf", filename="r.pdf")
    with smtplib.SMTP(mailbell.host, mailbell.port) as client:
        client.send_message(mail, to_addrs=["b@lan", "hidden@lan"])
    received = mailbell.wait_for(to="hidden@lan")
    assert (received.subject, received.text) == ("Report", "hello\n")
    assert received.envelope.rcpt_to == ("b@lan", "hidden@lan")
    assert received.attachments[0].filename == "r.pdf"
    assert received.content(0) == b"%PDF-1.7 \0"
    assert received.message()["Subject"] == "Report"
    assert received.octets.startswith(b"From: a@lan\r\n")
    assert repr(received) == "<Received 'Report' from a@lan to b@lan, hidden@lan>"


def test_what_had_its_250_is_among_the_events_at_once(mailbell: Mailbell) -> None:
    for number in range(50):
        send(mailbell, f"number {number}")
        assert mailbell.events[-1].subject == f"number {number}"
    mailbell.clear()
    assert mailbell.events == []
    send(mailbell, "after")
    assert [each.subject for each in mailbell.events] == ["after"]


def test_a_mail_that_comes_while_it_is_waited_for(mailbell: Mailbell) -> None:
    send(mailbell, "first", "x@lan")
    sender = threading.Timer(0.05, send, (mailbell, "second", "y@lan"))
    sender.start()
    assert mailbell.wait_for(to="Y@*").subject == "second"
    assert mailbell.wait_for(count=2).subject == "second"
    assert mailbell.wait_for(where=lambda each: each.raw.size > 10).subject == "first"
    sender.join()


@pytest.mark.parametrize("pattern", ["[Shop] Your order?", "[[]Shop] *", "re:^.Shop. Your"])
def test_a_subject_is_plain_text_a_glob_or_a_regular_expression(mailbell: Mailbell, pattern: str) -> None:
    send(mailbell, "[Shop] Your order?")
    assert mailbell.wait_for(subject=pattern, from_="a@lan", text="hello*")


def test_a_mail_that_does_not_come_is_told_with_what_did(mailbell: Mailbell) -> None:
    send(mailbell, "Welcome", "c@lan")
    mailbell.fail_next("RCPT", 550)
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        send(mailbell, "refused")
    with pytest.raises(NotReceived) as failure:
        mailbell.wait_for(to="b@lan", subject="Welc*", count=2, timeout=0.05)
    assert isinstance(failure.value, AssertionError)
    lines = str(failure.value).splitlines()
    assert lines[:3] == [
        "no mail with to='b@lan', subject='Welc*', count=2 within 0.05 s",
        "1 other mail arrived:",
        "  <Received 'Welcome' from a@lan to c@lan>",
    ]
    assert lines[3] == "1 connection brought no mail:"
    assert "    < rcpt TO:<b@lan>" in lines
    assert "    > 550 5.0.0 Chaos: this recipient is refused on purpose" in lines


def test_nothing_at_all(mailbell: Mailbell) -> None:
    with pytest.raises(NotReceived, match=r"^no mail within 0.01 s\nnothing arrived$"):
        mailbell.wait_for(timeout=0.01)


def test_failures_on_purpose_come_once_and_in_order(mailbell: Mailbell) -> None:
    mailbell.fail_next("MAIL", 421)
    with pytest.raises(smtplib.SMTPException):
        send(mailbell, "greylisted")
    mailbell.fail_next("DATA", 552, times=2)
    for _ in range(2):
        with pytest.raises(smtplib.SMTPDataError, match="552"):
            send(mailbell, "too much")
    mailbell.fail_next("AUTH", 535, times=3)  # smtplib tries CRAM-MD5, PLAIN and LOGIN
    with smtplib.SMTP(mailbell.host, mailbell.port) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("user", "password")
        client.login("user", "password")
        client.send_message(message("at last"))
    assert [each.subject for each in mailbell.events] == ["at last"]
    assert mailbell.events[0].source.auth_user == "user"


def test_a_planned_failure_is_forgotten_with_the_rest(mailbell: Mailbell) -> None:
    mailbell.fail_next("RCPT")
    mailbell.clear()
    send(mailbell, "goes through")
    with pytest.raises(ValueError, match="400 to 599, got 250"):
        mailbell.fail_next("RCPT", 250)


def test_users_and_tls() -> None:
    with Mailbell(users={"shop": "sesame"}, tls="starttls", hostname="mail.shop.example") as server:
        trust = ssl.create_default_context(cafile=server.certificate)
        with smtplib.SMTP("localhost", server.port) as client:
            client.starttls(context=trust)
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login("shop", "wrong")
            client.login("shop", "sesame")
            client.send_message(message("inside"))
        received = server.wait_for(subject="inside")
    assert received.source.tls is not None
    assert received.source.auth_user == "shop"


def test_the_api_for_tools_made_for_mailpit() -> None:
    with Mailbell(web=True) as server:
        send(server, "seen")
        with urllib.request.urlopen(f"{server.url}/api/v1/message/latest/raw") as answer:
            assert b"Subject: seen" in answer.read()


def test_two_at_once_know_nothing_of_each_other(mailbell: Mailbell, mailbell_session: Mailbell) -> None:
    assert mailbell.port != mailbell_session.port
    send(mailbell, "one")
    assert mailbell_session.events == []


def test_an_option_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="unknown field `tsl`"):
        Mailbell(tsl="off").start()
    with pytest.raises(ValueError, match=r"Expected `int` >= 1 - at `\$\.threads`"):
        Mailbell(threads=0).start()


def test_a_port_that_is_taken_is_the_callers_error(mailbell: Mailbell) -> None:
    other = Mailbell(port=mailbell.port)
    with pytest.raises(ListenError, match=f"port {mailbell.port} is taken"):
        other.start()
    assert threading.active_count() < 20
    with pytest.raises(RuntimeError, match=r"start\(\) it"):
        _ = other.events
    port = free_port()
    with Mailbell(port=port) as chosen:
        assert chosen.port == port


def test_it_may_be_stopped_twice_and_started_once() -> None:
    server = Mailbell()
    server.start()
    with pytest.raises(RuntimeError, match="runs already"):
        server.start()
    server.stop()
    server.stop()
    assert repr(server).endswith(" stopped>")


async def test_a_test_on_a_loop_of_its_own_goes_on_meanwhile() -> None:
    async with Mailbell() as server:
        waiting = asyncio.create_task(server.wait_for_async(to="b@lan"))
        await aiosmtplib.send(message("async"), hostname=server.host, port=server.port)
        assert (await waiting).subject == "async"
        with pytest.raises(NotReceived):
            await server.wait_for_async(to="nobody@lan", timeout=0.01)


def test_the_logging_of_the_program_under_test_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    root, ours = logging.getLogger(), logging.getLogger("mailbell")
    before = root.handlers[:], root.level, ours.level
    with Mailbell() as server:
        assert (root.handlers[:], root.level, ours.level) == before
        send(server, "quiet")
        assert server.events
    assert not caplog.records


def test_a_server_starts_quickly_once_the_code_is_there(mailbell: Mailbell) -> None:
    assert mailbell.port  # so all is imported
    took = []
    for _ in range(5):
        began = time.process_time()  # that of this process: others may keep the machine busy
        with Mailbell():
            took.append(time.process_time() - began)
    assert min(took) < 0.05, took


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    code = "import sys, mailbell.pytest_plugin; print(*sorted(sys.modules))"
    plain = "import sys, pytest; print(*sorted(sys.modules))"

    def modules(source: str) -> set[str]:
        return set(subprocess.check_output([sys.executable, "-c", source], text=True).split())

    assert modules(code) - modules(plain) == {"mailbell", "mailbell.pytest_plugin"}
    used = "import sys\nfrom mailbell.testing import Mailbell\nwith Mailbell(): print(*sorted(sys.modules))"
    assert not {"mailbell.web", "cryptography", "uvloop"} & modules(used)
