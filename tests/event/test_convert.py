"""The door: well-formed mail in the full form, every field of it."""

import hashlib
import json
from pathlib import Path

import fastjsonschema
import msgspec
import pytest

from mailbell.event.convert import ConvertOptions, convert
from mailbell.event.sample import sample
from mailbell.event.schema import (
    Address,
    Attachment,
    Charset,
    EventEnvelope,
    EventSource,
    HeaderField,
    MailEvent,
    RawInfo,
    TlsInfo,
    json_schema,
)
from mailbell.mail import Envelope, Mail, Source, Tls
from tests.event.reading import converted, event
from tests.tools import ROOT

PICTURE = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9")
RAW = b"""\
Received: from cam1 by mail.example; Mon, 25 Jan 2016 18:24:49 +0100\r
From: =?utf-8?Q?K=C3=BCche?= <cam1@example.com>\r
To: Alarm <alarm@example.com>, "Doe, John" <john@example.com>\r
Cc: ops@example.com\r
Reply-To: Desk <desk@example.com>\r
Subject: =?utf-8?B?QmV3ZWd1bmc=?=\r
Date: Mon, 25 Jan 2016 18:24:49 +0100\r
Message-ID: <1@cam1>\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary=b\r
\r
--b\r
Content-Type: multipart/alternative; boundary=c\r
\r
--c\r
Content-Type: text/plain; charset=UTF-8\r
\r
Gr\xc3\xbc\xc3\x9fe\r
--c\r
Content-Type: text/html; charset=UTF-8\r
\r
<p>Gr&uuml;&szlig;e\r
--c--\r
--b\r
Content-Type: image/jpeg\r
Content-Disposition: inline; filename=snap.jpg\r
Content-ID: <1@snap>\r
Content-Transfer-Encoding: base64\r
\r
/9j/4AAQSkZJRgABAQAAAQABAAD/2Q==\r
--b--\r
"""
MAIL = Mail(
    id="015279d1-0d2e-7000-8000-000000000000",
    received_at=1453742689007,
    ioserver="smtp",
    source=Source("192.0.2.1", 49152, "cam1", "cam", Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384")),
    envelope=Envelope("cam1@example.com", ("alarm@example.com",)),
    raw=RAW,
)


def test_every_field_of_the_full_form() -> None:
    assert convert(MAIL, ConvertOptions()).event == MailEvent(
        schema="mailbell.event/1",
        id="015279d1-0d2e-7000-8000-000000000000",
        received_at="2016-01-25T17:24:49.007Z",
        ioserver="smtp",
        name="smtp.mail",
        source=EventSource("192.0.2.1", 49152, "cam1", "cam", TlsInfo("TLSv1.3", "TLS_AES_256_GCM_SHA384")),
        envelope=EventEnvelope("cam1@example.com", ("alarm@example.com",)),
        message_id="1@cam1",
        subject="Bewegung",
        date="2016-01-25T18:24:49+01:00",
        date_raw="Mon, 25 Jan 2016 18:24:49 +0100",
        content_type="multipart/mixed",
        from_=Address("Küche", "cam1@example.com"),
        to=(Address("Alarm", "alarm@example.com"), Address("Doe, John", "john@example.com")),
        cc=(Address("", "ops@example.com"),),
        reply_to=(Address("Desk", "desk@example.com"),),
        headers=(
            HeaderField("Received", "from cam1 by mail.example; Mon, 25 Jan 2016 18:24:49 +0100"),
            HeaderField("From", "Küche <cam1@example.com>"),
            HeaderField("To", 'Alarm <alarm@example.com>, "Doe, John" <john@example.com>'),
            HeaderField("Cc", "ops@example.com"),
            HeaderField("Reply-To", "Desk <desk@example.com>"),
            HeaderField("Subject", "Bewegung"),
            HeaderField("Date", "Mon, 25 Jan 2016 18:24:49 +0100"),
            HeaderField("Message-ID", "<1@cam1>"),
            HeaderField("MIME-Version", "1.0"),
            HeaderField("Content-Type", "multipart/mixed; boundary=b"),
        ),
        text="Grüße",
        text_source="plain",
        html="<p>Gr&uuml;&szlig;e",
        attachments=(
            Attachment(
                index=0,
                filename="snap.jpg",
                content_type="image/jpeg",
                detected_type="image/jpeg",
                disposition="inline",
                content_id="1@snap",
                size=len(PICTURE),
                sha256=hashlib.sha256(PICTURE).hexdigest(),
            ),
        ),
        raw=RawInfo(len(RAW), hashlib.sha256(RAW).hexdigest()),
        defects=(),
        charset=Charset("UTF-8", "utf-8", guessed=False),
        suppressed_count=0,
    )


def test_attachments_are_decoded_on_request() -> None:
    item = convert(MAIL, ConvertOptions())
    assert item.attachment(0) == PICTURE
    with pytest.raises(IndexError):
        item.attachment(1)


def test_json_is_encoded_once() -> None:
    item = convert(MAIL, ConvertOptions())
    assert item.json is item.json
    assert item.value is item.value
    assert msgspec.json.decode(item.json, type=MailEvent) == item.event


def test_unknown_is_null_and_never_absent() -> None:
    fields = json.loads(converted(b"").json)
    absent = ("message_id", "subject", "date", "date_raw", "from", "html")
    assert [fields[name] for name in absent] == [None] * 6
    assert fields["source"]["tls"] is None


def test_the_schema_holds_the_events_and_lets_no_key_be_left_out() -> None:
    validate = fastjsonschema.compile(json_schema())
    fields = validate(json.loads(convert(MAIL, ConvertOptions()).json))
    for name in fields:
        with pytest.raises(fastjsonschema.JsonSchemaException):
            validate({key: value for key, value in fields.items() if key != name})


def test_the_schema_in_docs_is_current() -> None:
    kept = json.loads(Path(ROOT, "docs/event.schema.json").read_text())
    assert kept == json_schema(), (
        "docs/event.schema.json is old: write mailbell.event.schema.json_schema() there"
    )


def test_the_sample_is_without_defect() -> None:
    item = convert(sample(), ConvertOptions())
    assert item.event.defects == ()
    assert item.event.attachments[0].detected_type == "image/jpeg"
    assert item.event.received_at == "2016-01-25T17:24:49.582Z"


def test_strings_from_the_wire_are_made_fit_for_json() -> None:
    source = Source("192.0.2.1", 1, helo="a\0b\udcff", auth_user="\ud800")
    mail = Mail("id", 0, "smtp", source, Envelope("x\0", ("ü\udc80",)), b"")
    made = convert(mail, ConvertOptions())
    assert made.event.source.helo == "a\ufffdb\ufffd"
    assert made.event.envelope.rcpt_to == ("ü\ufffd",)
    assert json.loads(made.json)["source"]["auth_user"] == "\ufffd"


def test_two_texts_side_by_side_are_one_text() -> None:
    seen = event("Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo\n--b--\n")
    assert seen.text == "one\ntwo"


def test_more_text_than_anybody_reads_is_cut_at_a_line() -> None:
    seen = event(b"\r\n" + b"x" * 78 + b"\r\n" + "ä€\r\n".encode() * 800_000)
    assert 1_700_000 < len(seen.text) < 4 * 2**20
    assert seen.text.endswith("ä€\n")
    assert seen.charset.used == "utf-8"
    assert seen.defects == ("more than 4 MiB of text: the rest left out",)
