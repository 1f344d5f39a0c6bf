"""The mail clients of the world, each as one function that sends a message to a server on 127.0.0.1.

Every client takes a `Server` and the message (header and body, LF or CRLF) and returns whether it says that
the mail was taken, with all that it printed. None of them checks certificates: the server's is self-signed.
"""

import asyncio
import json
import os
import re
import smtplib
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple

import aiosmtplib

from tests.postfix import Postfix
from tests.tools import ROOT, SYSTEM_PATH, need, need_module, need_root

HOST = "127.0.0.1"
SENDER = "me@example.com"
RECIPIENT = "test@hsyco.com"
SECONDS = 30

Tls = Literal["plain", "starttls", "implicit"]


class Server(NamedTuple):
    """Where to send to, and how: over which TLS, and as which user."""

    port: int
    tls: Tls = "plain"
    auth: tuple[str, str] | None = None


class Sent(NamedTuple):
    """What came of it: whether the client says that the mail was taken, and all that it printed."""

    ok: bool
    output: str


Send = Callable[[Server, bytes], Awaitable[Sent]]


async def run(command: list[str], stdin: bytes = b"") -> Sent:
    """Run a client to its end."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"PATH": SYSTEM_PATH},
    )
    try:
        async with asyncio.timeout(SECONDS):
            output, _ = await process.communicate(stdin)
    except TimeoutError:
        process.kill()
        await process.wait()
        return Sent(False, f"{command[0]}: no end within {SECONDS} s")
    return Sent(process.returncode == 0, output.decode(errors="replace"))


def crlf(message: bytes) -> bytes:
    """Return the message with lines as they travel."""
    return b"\r\n".join(message.splitlines()) + b"\r\n"


def trusting() -> ssl.SSLContext:
    """Return a client's TLS context that takes any certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def swaks(server: Server, message: bytes) -> Sent:
    """Send with swaks, the one that the README names."""
    command = [need("swaks"), "--server", f"{HOST}:{server.port}", "--from", SENDER, "--to", RECIPIENT]
    command += {"plain": [], "starttls": ["--tls"], "implicit": ["--tls-on-connect"]}[server.tls]
    if server.auth:
        command += ["--auth", "--auth-user", server.auth[0], "--auth-password", server.auth[1]]
    # As it travels, for swaks would replace what looks like its %TOKENS%.
    data = re.sub(rb"^\.", b"..", crlf(message), flags=re.MULTILINE) + b".\r\n"
    return await run([*command, "--no-data-fixup", "--data", "-"], data)


async def msmtp(server: Server, message: bytes) -> Sent:
    """Send with msmtp."""
    command = [need("msmtp"), f"--host={HOST}", f"--port={server.port}", f"--from={SENDER}", "--debug"]
    command += [
        f"--tls={'off' if server.tls == 'plain' else 'on'}",
        f"--tls-starttls={'on' if server.tls == 'starttls' else 'off'}",
        "--tls-certcheck=off",
    ]
    if server.auth:  # by name: left to itself msmtp gives no password away without TLS
        command += ["--auth=login", f"--user={server.auth[0]}", f"--passwordeval=echo {server.auth[1]}"]
    return await run([*command, RECIPIENT], message)


async def curl(server: Server, message: bytes) -> Sent:
    """Send with curl, which sends lines as they are."""
    scheme = "smtps" if server.tls == "implicit" else "smtp"
    command = [need("curl"), "--disable", "--noproxy", "*", "--no-progress-meter", "--verbose", "--insecure"]
    command += ["--url", f"{scheme}://{HOST}:{server.port}", "--mail-from", SENDER, "--mail-rcpt", RECIPIENT]
    command += ["--ssl-reqd"] if server.tls == "starttls" else []
    command += ["--user", ":".join(server.auth)] if server.auth else []
    return await run([*command, "--upload-file", "-"], crlf(message))


async def python_smtplib(server: Server, message: bytes) -> Sent:
    """Send with Python's smtplib."""
    return await asyncio.to_thread(_python_smtplib, server, message)


def _python_smtplib(server: Server, message: bytes) -> Sent:
    try:
        with _smtplib_connection(server) as client:
            if server.tls == "starttls":
                client.starttls(context=trusting())
            if server.auth:
                client.login(*server.auth)
            refused = client.sendmail(SENDER, RECIPIENT, crlf(message))
    except (smtplib.SMTPException, OSError) as error:
        return Sent(False, repr(error))
    return Sent(not refused, repr(refused))


def _smtplib_connection(server: Server) -> smtplib.SMTP:
    if server.tls == "implicit":
        return smtplib.SMTP_SSL(HOST, server.port, timeout=SECONDS, context=trusting())
    return smtplib.SMTP(HOST, server.port, timeout=SECONDS)


async def python_aiosmtplib(server: Server, message: bytes) -> Sent:
    """Send with aiosmtplib."""
    user, password = server.auth or (None, None)
    try:
        refused, reply = await aiosmtplib.send(
            message,
            sender=SENDER,
            recipients=[RECIPIENT],
            hostname=HOST,
            port=server.port,
            username=user,
            password=password,
            use_tls=server.tls == "implicit",
            start_tls=server.tls == "starttls",
            tls_context=None if server.tls == "plain" else trusting(),
            timeout=SECONDS,
        )
    except (aiosmtplib.SMTPException, OSError) as error:
        return Sent(False, repr(error))
    return Sent(not refused, reply)


async def nodemailer(server: Server, message: bytes) -> Sent:
    """Send with Node's nodemailer."""
    need_module("nodemailer")
    transport: dict[str, object] = {
        "host": HOST,
        "port": server.port,
        "secure": server.tls == "implicit",
        "requireTLS": server.tls == "starttls",
        "ignoreTLS": server.tls == "plain",
        "tls": {"rejectUnauthorized": False},
    }
    if server.auth:
        transport["auth"] = {"user": server.auth[0], "pass": server.auth[1]}
    order = {"transport": transport, "envelope": {"from": SENDER, "to": RECIPIENT}}
    return await run([need("node"), str(ROOT / "tests/e2e/node/send.mjs"), json.dumps(order)], message)


async def smtp_source(server: Server, message: bytes) -> Sent:
    """Send with Postfix's load generator, which knows neither TLS nor AUTH."""
    command = [need("smtp-source"), "-f", SENDER, "-t", RECIPIENT, "-M", "localhost", "-v"]
    with tempfile.NamedTemporaryFile() as file:  # not /dev/stdin: uvloop gives a child a socket there
        file.write(message)
        file.flush()
        return await run([*command, "-F", file.name, f"{HOST}:{server.port}"])


async def postfix(server: Server, message: bytes) -> Sent:
    """Send as a Postfix does that has the server as its relay host; it adds fields of its own on the way."""
    need("postfix")
    need_root()
    relay = f"[{HOST}]:{server.port}"
    main = {
        "relayhost": relay,
        "smtp_tls_security_level": "none" if server.tls == "plain" else "encrypt",
        "smtp_tls_wrappermode": "yes" if server.tls == "implicit" else "no",
    }
    if server.auth:
        main |= {
            "smtp_sasl_auth_enable": "yes",
            "smtp_sasl_security_options": "noanonymous",
            "smtp_sasl_password_maps": f"inline:{{ {{ {relay} = {':'.join(server.auth)} }} }}",
        }
    return await asyncio.to_thread(_postfix, main, message)


def _postfix(main: dict[str, str], message: bytes) -> Sent:
    with Postfix(main) as instance:
        return Sent(*instance.send(SENDER, RECIPIENT, message))


CLIENTS: dict[str, Send] = {
    "swaks": swaks,
    "msmtp": msmtp,
    "curl": curl,
    "smtplib": python_smtplib,
    "aiosmtplib": python_aiosmtplib,
    "nodemailer": nodemailer,
    "smtp-source": smtp_source,
    "postfix": postfix,
}
PLAIN_ONLY = {"smtp-source"}
"""Clients that know neither TLS nor AUTH."""
