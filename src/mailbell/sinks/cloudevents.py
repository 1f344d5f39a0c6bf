"""CloudEvents 1.0: the attributes of an event, and the two modes of the HTTP binding."""

import re
from urllib.parse import quote

import msgspec

from mailbell.event.schema import MailEvent

TYPE = "mailbell.mail.received"

LONGEST_SUBJECT = 200
"""Characters. Percent-encoded, each may take twelve octets of a header field; servers take 8 KiB."""

_NO_STRING = re.compile("[\0-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")
"""What the type String excludes (§ Type System), as far as an event can hold it."""

_SAFE = "".join(map(chr, range(0x21, 0x7F))).replace('"', "").replace("%", "")
"""HTTP binding § 3.1.3.2: all but these of the printable characters are percent-encoded."""


def attributes(event: MailEvent) -> dict[str, str]:
    """Return the context attributes. With `source` the same on all nodes, `source` and `id` tell repeats."""
    given = {
        "specversion": "1.0",
        "id": event.id,
        "source": f"mailbell:{event.ioserver}",
        "type": TYPE,
        "time": event.received_at,
        "subject": _NO_STRING.sub(" ", event.subject or "")[:LONGEST_SUBJECT].strip(),
    }
    return {name: value for name, value in given.items() if value}  # a subject is there or is not empty


def structured(event: MailEvent, data: bytes) -> tuple[dict[str, str], bytes]:
    """Return header fields and body of the structured mode: all in one JSON object."""
    tree = attributes(event) | {"datacontenttype": "application/json", "data": msgspec.Raw(data)}
    return {"Content-Type": "application/cloudevents+json"}, msgspec.json.encode(tree)


def binary(event: MailEvent, data: bytes) -> tuple[dict[str, str], bytes]:
    """Return header fields and body of the binary mode: the attributes in the header, the data as it is."""
    fields = {f"ce-{name}": quote(value, safe=_SAFE) for name, value in attributes(event).items()}
    return {"Content-Type": "application/json"} | fields, data
