"""The webhook sink: a POST for each event, signed by the Standard Webhooks specification."""

import base64
import hmac
import re
from contextlib import suppress
from email.utils import parsedate_to_datetime
from io import BytesIO
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDict

from mailbell import __version__
from mailbell.clock import SystemClock
from mailbell.event.convert import Converted
from mailbell.remote.secrets import Mask
from mailbell.remote.tls import client_context
from mailbell.settings import WebhookSettings
from mailbell.sinks import cloudevents, payload, trace
from mailbell.sinks.base import Delivered, Outcome, Pause, Reject, Retry

REQUEST_TIMEOUT, GONE, TOO_EARLY, TOO_MANY_REQUESTS = 408, 410, 425, 429

LONGEST_WAIT = 86400.0
"""Seconds that a Retry-After may ask for."""

SHORTEST_WAIT = 1.0
"""`Retry-After: 0` from a receiver in trouble must not make a busy loop."""

EXCERPT = 4096
"""Octets that are read of an answer. A connection with more on it is closed, not drained."""


class WebhookSink:
    """One URL."""

    sequential = False

    def __init__(self, name: str, settings: WebhookSettings) -> None:
        self.name = name
        self._settings = settings
        self._clock = SystemClock()
        self._keys = [base64.b64decode(each.removeprefix("whsec_")) for each in settings.secrets]
        self._mask = Mask(_secrets(settings))
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"<WebhookSink {self.name}: {self._settings.describe()}>"

    async def start(self) -> None:
        """Prepare the client; whether the receiver is there shows with the first event."""
        context = client_context(self._settings.ca)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=0),  # max_in_flight limits
            timeout=aiohttp.ClientTimeout(total=self._settings.timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"mailbell/{__version__}"},
            auto_decompress=False,  # an answer is not worth a decompression bomb
        )

    async def deliver(self, item: Converted) -> Outcome:
        """Post the event."""
        assert self._session is not None  # noqa: S101  for mypy: delivery starts a sink first
        fields, body = self._message(item)
        headers = CIMultiDict(fields | self._signature(item.event.id, body) | trace.context(item.event))
        headers.update(self._settings.headers)
        try:
            async with self._session.post(
                self._settings.url, data=_data(body), headers=headers, allow_redirects=False
            ) as response:
                return self._outcome(response, await _excerpt(response))
        except TimeoutError:
            return Retry(f"no answer within {self._settings.timeout:g} s")
        except aiohttp.ClientResponseError as error:  # its text has the URL
            return Retry(self._mask(f"the answer is not HTTP: {error.message}"))
        except aiohttp.ClientError as error:
            return Retry(self._mask(error))

    async def stop(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _message(self, item: Converted) -> tuple[dict[str, str], bytes]:
        match self._settings.body:
            case "hsyco":
                return {"Content-Type": "application/json"}, item.value.encode()
            case "cloudevents":
                return cloudevents.structured(item.event, payload.full(item, self._settings))
            case "cloudevents-binary":
                return cloudevents.binary(item.event, payload.full(item, self._settings))
            case _:
                return {"Content-Type": "application/json"}, payload.full(item, self._settings)

    def _signature(self, id_: str, body: bytes) -> dict[str, str]:
        """Sign as Standard Webhooks 1.0 has it. The ID is that of the event, the same at each try."""
        timestamp = int(self._clock.time())
        signed = f"{id_}.{timestamp}.".encode() + body
        digests = (base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in self._keys)
        fields = {"webhook-id": id_, "webhook-timestamp": str(timestamp)}
        return fields | (
            {"webhook-signature": " ".join(f"v1,{each}" for each in digests)} if self._keys else {}
        )

    def _outcome(self, response: aiohttp.ClientResponse, excerpt: str) -> Outcome:
        status = response.status
        if 200 <= status < 300:
            return Delivered()
        said = self._mask(f"answered {status} {response.reason or ''}: {excerpt}".rstrip(": "))
        if status == GONE:
            return Pause(said)
        if 400 <= status < 500 and status not in (REQUEST_TIMEOUT, TOO_EARLY, TOO_MANY_REQUESTS):
            return Reject(said)
        if 300 <= status < 400:  # where to is not followed: it would have the event, and our header fields
            said += "; redirects are not followed, so set url to where it points"
        return Retry(said, retry_after(response.headers.get("Retry-After"), self._clock.time()))


def retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a Retry-After asks for (RFC 9110 § 10.2.3: a number or a date), or None."""
    if value is None:
        return None
    if re.fullmatch("[0-9]+", value):
        seconds = float(value)
    else:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, SHORTEST_WAIT), LONGEST_WAIT)


def _data(body: bytes) -> bytes | BytesIO:
    """Octets go in one write with the header; above a megabyte the client wants to read them by and by."""
    return body if len(body) <= 2**20 else BytesIO(body)


async def _excerpt(response: aiohttp.ClientResponse) -> str:
    """Read the answer's beginning. The status counts, whatever happens to the rest."""
    with suppress(aiohttp.ClientError, TimeoutError):
        return (await response.content.read(EXCERPT)).decode("utf-8", "replace").strip()
    return ""


def _secrets(settings: WebhookSettings) -> list[str]:
    url = urlsplit(settings.url)
    userinfo = url.netloc.rpartition("@")[0]
    path = f"{url.path}?{url.query}".rstrip("?")
    return [
        settings.url,
        path,
        url.query,
        url.password or "",
        userinfo,
        *settings.secrets,
        *settings.headers.values(),
    ]
