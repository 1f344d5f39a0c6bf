"""Every row of the specification's table of what is broken in the wild, each message with its exact event."""

import pytest

from mailbell.event.schema import MailEvent
from tests.event.reading import event

MIXED = "Content-Type: multipart/mixed; boundary=b\n\n"
MIXED_HEADERS = ["Content-Type: multipart/mixed; boundary=b"]

# What an empty message gives; the table below says what is different.
EMPTY: dict[str, object] = {
    "headers": [],
    "message_id": None,
    "subject": None,
    "date": None,
    "date_raw": None,
    "content_type": "text/plain",
    "from": None,
    "to": [],
    "cc": [],
    "reply_to": [],
    "text": "",
    "text_source": "plain",
    "html": None,
    "attachments": [],
    "charset": (None, "us-ascii", False),
    "defects": [],
}
TABLE: dict[str, tuple[str | bytes, dict[str, object]]] = {
    # No Content-Type, no headers at all, first line not a header
    "no Content-Type": (
        "Subject: x\n\nhello\n",
        {"headers": ["Subject: x"], "subject": "x", "text": "hello\n"},
    ),
    "no headers at all": ("\nhello\n", {"text": "hello\n"}),
    "first line not a header": (
        "hello there\nSubject: x\n\nbye\n",
        {"text": "hello there\nSubject: x\n\nbye\n"},
    ),
    "nothing": ("", {}),
    "a header that nothing ends": (
        "Subject: x\nhello: not really\nno header this\n",
        {
            "headers": ["Subject: x", "hello: not really"],
            "subject": "x",
            "text": "no header this\n",
            "defects": ["no empty line after the header"],
        },
    ),
    # Raw 8-bit header
    "raw UTF-8 header": ("Subject: Grüße\n\n", {"headers": ["Subject: Grüße"], "subject": "Grüße"}),
    "raw GBK header, charset declared": (
        "Subject: 警报\r\nContent-Type: text/plain; charset=gbk\r\n\r\n门\r\n".encode("gbk"),
        {
            "headers": ["Subject: 警报", "Content-Type: text/plain; charset=gbk"],
            "subject": "警报",
            "text": "门\n",
            "charset": ("gbk", "gb18030", False),
            "defects": ["header in raw 8-bit: read as gb18030", 'text in charset "gbk": read as gb18030'],
        },
    ),
    "raw Latin-1 header": (
        b"Subject: T\xfcre\n\n",
        {
            "headers": ["Subject: Türe"],
            "subject": "Türe",
            "defects": ["header in raw 8-bit: read as iso-8859-1"],
        },
    ),
    "raw windows-1252 header": (
        b"Subject: 5 \x80\n\n",
        {
            "headers": ["Subject: 5 €"],
            "subject": "5 €",
            "defects": ["header in raw 8-bit: read as windows-1252"],
        },
    ),
    "raw ISO-2022-JP header": (
        "Subject: 警報\n\n".encode("iso2022_jp"),
        {
            "headers": ["Subject: 警報"],
            "subject": "警報",
            "defects": ["header in raw 8-bit: read as iso-2022-jp"],
        },
    ),
    # Charsets unknown, too small, quoted, misspelt or wrong
    "unknown charset": (
        b"Content-Type: text/plain; charset=x-unknown\r\n\r\nGr\xc3\xbc\xc3\x9fe",
        {
            "headers": ["Content-Type: text/plain; charset=x-unknown"],
            "text": "Grüße",
            "charset": ("x-unknown", "utf-8", True),
            "defects": ['text in an unknown charset "x-unknown": read as utf-8'],
        },
    ),
    "gb2312 over GBK": (
        "Content-Type: text/plain; charset=gb2312\r\n\r\n镕".encode("gbk"),
        {
            "headers": ["Content-Type: text/plain; charset=gb2312"],
            "text": "镕",
            "charset": ("gb2312", "gb18030", False),
            "defects": ['text in charset "gb2312": read as gb18030'],
        },
    ),
    "ks_c_5601-1987": (
        'Content-Type: text/plain; charset="ks_c_5601-1987"\r\n\r\n똠'.encode("cp949"),
        {
            "headers": ['Content-Type: text/plain; charset="ks_c_5601-1987"'],
            "text": "똠",
            "charset": ("ks_c_5601-1987", "cp949", False),
            "defects": ['text in charset "ks_c_5601-1987": read as cp949'],
        },
    ),
    "x-sjis": (
        "Content-Type: text/plain; charset=x-sjis\r\n\r\n①警報".encode("cp932"),
        {
            "headers": ["Content-Type: text/plain; charset=x-sjis"],
            "text": "①警報",
            "charset": ("x-sjis", "windows-31j", False),
            "defects": ['text in charset "x-sjis": read as windows-31j'],
        },
    ),
    "quoted and misspelt label": (
        b"Content-Type: text/plain; charset=\"'utf8'\"\r\n\r\n\xc3\xbc",
        {
            "headers": ["Content-Type: text/plain; charset=\"'utf8'\""],
            "text": "ü",
            "charset": ("'utf8'", "utf-8", False),
            "defects": ["text in charset \"'utf8'\": read as utf-8"],
        },
    ),
    "iso-8859-1 over windows-1252": (
        b"Content-Type: text/plain; charset=iso-8859-1\r\n\r\n\x80 5",
        {
            "headers": ["Content-Type: text/plain; charset=iso-8859-1"],
            "text": "€ 5",
            "charset": ("iso-8859-1", "windows-1252", False),
            "defects": ['text in charset "iso-8859-1": read as windows-1252'],
        },
    ),
    "utf-8 that is Latin-1": (
        b"Content-Type: text/plain; charset=utf-8\r\n\r\nT\xfcre auf",
        {
            "headers": ["Content-Type: text/plain; charset=utf-8"],
            "text": "Türe auf",
            "charset": ("utf-8", "iso-8859-1", True),
            "defects": ['text not in its charset "utf-8": read as iso-8859-1'],
        },
    ),
    "utf-8 with a damaged character": (
        b"Content-Type: text/plain; charset=utf-8\r\n\r\nT\xc3\xbcre \xe2\x82 auf \xe2\x82\xac",
        {
            "headers": ["Content-Type: text/plain; charset=utf-8"],
            "text": "Türe � auf €",
            "charset": ("utf-8", "utf-8", True),
            "defects": ["text with damaged utf-8"],
        },
    ),
    # Encoded-words
    "words: spaces inside": (
        "Subject: =?utf-8?Q?Hello World=21?=\n\n",
        {"headers": ["Subject: Hello World!"], "subject": "Hello World!"},
    ),
    "words: a character cut in two": (
        "Subject: =?utf-8?B?R3LD?= =?utf-8?B?vMOfZQ==?=\n\n",
        {"headers": ["Subject: Grüße"], "subject": "Grüße"},
    ),
    "words: bad padding": (
        "Subject: =?utf-8?B?R3LDvMOfZQ?=\n\n",
        {"headers": ["Subject: Grüße"], "subject": "Grüße"},
    ),
    "words: wrong case": (
        "Subject: =?UTF-8?q?Gr=c3=bc=C3=9Fe?=\n\n",
        {"headers": ["Subject: Grüße"], "subject": "Grüße"},
    ),
    "words: inside quotes": (
        'From: "=?utf-8?Q?M=C3=BCller=2C_J?=" <m@x>\n\n',
        {"headers": ['From: "Müller, J" <m@x>'], "from": ("Müller, J", "m@x")},
    ),
    "words: in a filename": (
        MIXED
        + (
            '--b\nContent-Type: image/jpeg; name="=?utf-8?Q?T=C3=BCr.jpg?="\n'
            "Content-Transfer-Encoding: base64\n\n/9j/4AAQSkZJRgABAQAAAQABAAD/2Q==\n--b--\n"
        ),
        {
            "headers": MIXED_HEADERS,
            "content_type": "multipart/mixed",
            "text_source": "none",
            "attachments": [("Tür.jpg", "image/jpeg", "image/jpeg", None, None, 22)],
        },
    ),
    "words: hopeless": (
        "Subject: =?utf-8?B?***?= and =?utf-8?X?a?=\n\n",
        {
            "headers": ["Subject: =?utf-8?B?***?= and =?utf-8?X?a?="],
            "subject": "=?utf-8?B?***?= and =?utf-8?X?a?=",
            "defects": ["encoded-word that makes no sense: kept as it is"],
        },
    ),
    "words: unknown charset": (
        "Subject: =?x-none?Q?T=FCr?=\n\n",
        {
            "headers": ["Subject: Tür"],
            "subject": "Tür",
            "defects": ['encoded-word in an unknown charset "x-none": read as iso-8859-1'],
        },
    ),
    "words: encoded twice": (
        "Subject: =?utf-8?Q?=3D=3Futf-8=3FQ=3Fa=5Fb=3F=3D?=\n\n",
        {"headers": ["Subject: a b"], "subject": "a b"},
    ),
    "words: two charsets side by side": (
        "Subject: =?utf-8?Q?=C3=BC?= =?iso-8859-1?Q?=FC?= u\n\n",
        {"headers": ["Subject: üü u"], "subject": "üü u"},
    ),
    # Multipart without closing boundary, without or with a wrong boundary parameter
    "no closing boundary": (
        MIXED + "--b\nContent-Type: text/plain\n\none\n--b\nContent-Type: application/pdf\n\n%PDF-1\n",
        {
            "headers": MIXED_HEADERS,
            "content_type": "multipart/mixed",
            "text": "one",
            "attachments": [("attachment-1.pdf", "application/pdf", "application/pdf", None, None, 8)],
            "defects": ["multipart without its last boundary: read to the end"],
        },
    ),
    "no boundary parameter": (
        "Content-Type: multipart/mixed\n\n--b\nContent-Type: text/plain\n\none\n--b--\n",
        {
            "headers": ["Content-Type: multipart/mixed"],
            "content_type": "multipart/mixed",
            "text": "one",
            "defects": ["multipart without a boundary: the one that is there taken"],
        },
    ),
    "wrong boundary parameter": (
        "Content-Type: multipart/mixed; boundary=a\n\n--b\nContent-Type: text/plain\n\none\n--b--\n",
        {
            "headers": ["Content-Type: multipart/mixed; boundary=a"],
            "content_type": "multipart/mixed",
            "text": "one",
            "defects": ["multipart with a wrong boundary: the one that is there taken"],
        },
    ),
    "no boundary anywhere": (
        "Content-Type: multipart/mixed; boundary=a\n\nhello\n",
        {
            "headers": ["Content-Type: multipart/mixed; boundary=a"],
            "content_type": "multipart/mixed",
            "text": "hello\n",
            "defects": ["multipart with a wrong boundary: read as text"],
        },
    ),
    # Transfer encodings
    "base64: stray characters": (
        "Content-Transfer-Encoding: base64\n\naGVs!bG8g\nd29y*bGQ=\n",
        {
            "headers": ["Content-Transfer-Encoding: base64"],
            "text": "hello world",
            "defects": ["damaged base64: decoded as far as it goes"],
        },
    ),
    "base64: missing padding": (
        "Content-Transfer-Encoding: base64\n\naGVsbG8\n",
        {
            "headers": ["Content-Transfer-Encoding: base64"],
            "text": "hello",
            "defects": ["damaged base64: decoded as far as it goes"],
        },
    ),
    "base64: one letter too many": (
        "Content-Transfer-Encoding: base64\n\naGVsbG8hA\n",
        {
            "headers": ["Content-Transfer-Encoding: base64"],
            "text": "hello!",
            "defects": ["damaged base64: decoded as far as it goes"],
        },
    ),
    "base64: padding in the middle": (
        "Content-Transfer-Encoding: base64\n\naGVs\nbG8=\nIHdv\ncmxk\n",
        {
            "headers": ["Content-Transfer-Encoding: base64"],
            "text": "hello world",
            "defects": ["damaged base64: decoded as far as it goes"],
        },
    ),
    "base64 that is none": (
        "Content-Transfer-Encoding: base64\n\nThe door is open.\n",
        {
            "headers": ["Content-Transfer-Encoding: base64"],
            "text": "The door is open.\n",
            "defects": ["called base64 and is none: read as it is"],
        },
    ),
    "quoted-printable: bad escapes": (
        "Content-Transfer-Encoding: quoted-printable\n\n5 = 5, =XY, a=3Db, soft= \nbreak=\n",
        {
            "headers": ["Content-Transfer-Encoding: quoted-printable"],
            "text": "5 = 5, =XY, a=b, softbreak",
            "defects": ["damaged quoted-printable: decoded as far as it goes"],
        },
    ),
    "unknown encoding": (
        "Content-Transfer-Encoding: x-own\n\nhello\n",
        {
            "headers": ["Content-Transfer-Encoding: x-own"],
            "text": "hello\n",
            "defects": ['unknown transfer encoding "xown": read as it is'],
        },
    ),
    # HTML only
    "html only": (
        'Content-Type: text/html\n\n<p>Door <b>open</b><p><a href="http://cam/1">look</a>\n',
        {
            "headers": ["Content-Type: text/html"],
            "content_type": "text/html",
            "text": "Door open\n\nlook (http://cam/1)",
            "text_source": "html",
            "html": '<p>Door <b>open</b><p><a href="http://cam/1">look</a>\n',
        },
    ),
    "html only, charset in a meta": (
        b'Content-Type: text/html\r\n\r\n<meta charset="iso-8859-2"><p>\xa3\xf3d\xbc',
        {
            "headers": ["Content-Type: text/html"],
            "content_type": "text/html",
            "text": "Łódź",
            "text_source": "html",
            "html": '<meta charset="iso-8859-2"><p>Łódź',
            "charset": (None, "iso-8859-2", False),
        },
    ),
    "html only, NUL in the charset of a meta": (
        b"Content-Type: text/html\r\n\r\n<meta charset='a\0b'>Open",
        {
            "headers": ["Content-Type: text/html"],
            "content_type": "text/html",
            "text": "Open",
            "text_source": "html",
            "html": "<meta charset='ab'>Open",
            "charset": (None, "us-ascii", True),
            "defects": ['text in an unknown charset "a": read as us-ascii'],
        },
    ),
    "empty plain beside html": (
        (
            "Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain\n\n \n"
            "--b\nContent-Type: text/html\n\n<p>Door open\n--b--\n"
        ),
        {
            "headers": ["Content-Type: multipart/alternative; boundary=b"],
            "content_type": "multipart/alternative",
            "text": "Door open",
            "text_source": "html",
            "html": "<p>Door open",
        },
    ),
    # Nesting
    "mixed, alternative, related": (
        MIXED
        + (
            "--b\nContent-Type: multipart/alternative; boundary=c\n\n--c\nContent-Type: text/plain\n\n"
            "plain\n--c\nContent-Type: multipart/related; boundary=d\n\n--d\n"
            "Content-Type: text/html\n\n<img src=cid:1>\n--d\nContent-Type: image/jpeg\n"
            "Content-ID: <1>\nContent-Transfer-Encoding: base64\n\n/9j/4AAQSkZJRgABAQAAAQABAAD/2Q==\n"
            "--d--\n--c--\n--b\nContent-Type: text/csv; name=a.csv\n\n1;2\n--b--\n"
        ),
        {
            "headers": MIXED_HEADERS,
            "content_type": "multipart/mixed",
            "text": "plain",
            "html": "<img src=cid:1>",
            "attachments": [
                ("attachment-1.jpg", "image/jpeg", "image/jpeg", None, "1", 22),
                ("a.csv", "text/csv", None, None, None, 3),
            ],
        },
    ),
    "message inside": (
        MIXED
        + (
            "--b\n\nsee below\n--b\nContent-Type: message/rfc822\n\nSubject: =?utf-8?Q?T=C3=BCr?= 1/2\n"
            "Content-Type: multipart/mixed; boundary=z\n\n--z\n\ninner\n--z--\n--b--\n"
        ),
        {
            "headers": MIXED_HEADERS,
            "content_type": "multipart/mixed",
            "text": "see below",
            "attachments": [("Tür 1-2.eml", "message/rfc822", None, None, None, 99)],
        },
    ),
    # Pictures that nothing is said of
    "JPEG, nothing said": (
        MIXED
        + (
            "--b\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n"
            "/9j/4AAQSkZJRgABAQAAAQABAAD/2Q==\n--b--\n"
        ),
        {
            "headers": MIXED_HEADERS,
            "content_type": "multipart/mixed",
            "text_source": "none",
            "attachments": [("attachment-1.jpg", "application/octet-stream", "image/jpeg", None, None, 22)],
        },
    ),
    "JPEG called text": (
        ("Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n/9j/4AAQSkZJRgABAQAAAQABAAD/2Q==\n"),
        {
            "headers": ["Content-Type: text/plain", "Content-Transfer-Encoding: base64"],
            "text_source": "none",
            "attachments": [("attachment-1.jpg", "text/plain", "image/jpeg", None, None, 22)],
        },
    ),
    "JPEG without a type": (
        ("Content-Type: jpeg\nContent-Transfer-Encoding: base64\n\n/9j/4AAQSkZJRgABAQAAAQABAAD/2Q==\n"),
        {
            "headers": ["Content-Type: jpeg", "Content-Transfer-Encoding: base64"],
            "text_source": "none",
            "attachments": [("attachment-1.jpg", "text/plain", "image/jpeg", None, None, 22)],
            "defects": ["Content-Type names no type: guessed"],
        },
    ),
    "inline image": (
        MIXED
        + (
            "--b\nContent-Type: image/png\nContent-Disposition: inline\nContent-ID: <p@1>\n"
            "Content-Transfer-Encoding: base64\n\niVBORw0KGgo=\n--b--\n"
        ),
        {
            "headers": MIXED_HEADERS,
            "content_type": "multipart/mixed",
            "text_source": "none",
            "attachments": [("attachment-1.png", "image/png", "image/png", "inline", "p@1", 8)],
        },
    ),
    # File names
    "RFC 2231 name": (
        MIXED
        + (
            "--b\nContent-Type: image/jpeg\n"
            "Content-Disposition: attachment; filename*=utf-8'de'T%C3%BCr.jpg; filename=tuer.jpg\n\n\n"
            "--b--\n"
        ),
        {
            "headers": MIXED_HEADERS,
            "content_type": "multipart/mixed",
            "text_source": "none",
            "attachments": [("Tür.jpg", "image/jpeg", None, "attachment", None, 0)],
        },
    ),
    "RFC 2231 name in pieces": (
        MIXED
        + (
            "--b\n"
            "Content-Type: image/jpeg; name*0*=iso-8859-1''T%FC; name*1=\"r 1\"; name*2*=%2Ejpg\n\n\n"
            "--b--\n"
        ),
        {
            "headers": MIXED_HEADERS,
            "content_type": "multipart/mixed",
            "text_source": "none",
            "attachments": [("Tür 1.jpg", "image/jpeg", None, None, None, 0)],
        },
    ),
    "path in a name": (
        MIXED
        + (
            '--b\nContent-Type: image/jpeg; name="C:\\\\cam\\\\..\\\\a.jpg"\n\n\n--b\n'
            'Content-Disposition: attachment; filename="../../etc/passwd"\n\n\n--b\n'
            'Content-Disposition: attachment; filename=".."\n\n\n--b--\n'
        ),
        {
            "headers": MIXED_HEADERS,
            "content_type": "multipart/mixed",
            "text_source": "none",
            "attachments": [
                ("a.jpg", "image/jpeg", None, None, None, 0),
                ("passwd", "text/plain", None, "attachment", None, 0),
                ("attachment-3.txt", "text/plain", None, "attachment", None, 0),
            ],
        },
    ),
    "control characters in a name": (
        MIXED + '--b\nContent-Disposition: attachment; filename="a\x00\x01b.txt"\n\n\n--b--\n',
        {
            "headers": MIXED_HEADERS,
            "content_type": "multipart/mixed",
            "text_source": "none",
            "attachments": [("a b.txt", "text/plain", None, "attachment", None, 0)],
        },
    ),
    "a tab, C1 and an order reversed in a name": (
        MIXED
        + "--b\nContent-Disposition: attachment; filename*=utf-8''a%09%C2%85b%E2%80%AEgpj.exe\n\n\n--b--\n",
        {
            "headers": MIXED_HEADERS,
            "content_type": "multipart/mixed",
            "text_source": "none",
            "attachments": [("a  b gpj.exe", "text/plain", None, "attachment", None, 0)],
        },
    ),
    "raw 8-bit name": (
        MIXED + "--b\nContent-Disposition: attachment; filename=管理.doc\n\n\n--b--\n",
        {
            "headers": MIXED_HEADERS,
            "content_type": "multipart/mixed",
            "text_source": "none",
            "attachments": [("管理.doc", "text/plain", None, "attachment", None, 0)],
        },
    ),
    "name without semicolon or quote": (
        MIXED + '--b\nContent-Type: application/pdf name="a b.pdf\n\n\n--b--\n',
        {
            "headers": MIXED_HEADERS,
            "content_type": "multipart/mixed",
            "text_source": "none",
            "attachments": [("a b.pdf", "application/pdf", None, None, None, 0)],
        },
    ),
    # Date and From
    "broken Date": (
        "Date: yesterday\n\n",
        {
            "headers": ["Date: yesterday"],
            "date_raw": "yesterday",
            "defects": ["Date is no date with an offset: date is null"],
        },
    ),
    "impossible Date": (
        "Date: Mon, 31 Feb 2016 10:00:00 +0100\n\n",
        {
            "headers": ["Date: Mon, 31 Feb 2016 10:00:00 +0100"],
            "date_raw": "Mon, 31 Feb 2016 10:00:00 +0100",
            "defects": ["Date is no date with an offset: date is null"],
        },
    ),
    "Date without a zone": (
        "Date: Mon, 25 Jan 2016 18:24:49\n\n",
        {
            "headers": ["Date: Mon, 25 Jan 2016 18:24:49"],
            "date_raw": "Mon, 25 Jan 2016 18:24:49",
            "defects": ["Date is no date with an offset: date is null"],
        },
    ),
    "empty Date": ("Date: \n\n", {"headers": ["Date: "], "date_raw": ""}),
    "no From": ("To: a@b\n\n", {"headers": ["To: a@b"], "to": [("", "a@b")]}),
    "empty From": ("From: <>\n\n", {"headers": ["From: <>"]}),
    "From without an address": (
        "From: Front Door\n\n",
        {"headers": ["From: Front Door"], "from": ("Front Door", "")},
    ),
    # Octets that are no text
    "NUL, lone CR, bare LF, CR CR LF": (
        b"Subject: a\x00b\r\r\n\r\none\x00\rtwo\nthree\r\r\nfour\r\n\x1b[31mfive\x1b[0m\x07\r\n",
        {"headers": ["Subject: ab"], "subject": "ab", "text": "one\ntwo\nthree\nfour\nfive\n"},
    ),
    # Other kinds of mail
    "format=flowed": (
        ("Content-Type: text/plain; format=flowed\n\nThe door \nis open.\n> and it \n> rains\n\n-- \nCam\n"),
        {
            "headers": ["Content-Type: text/plain; format=flowed"],
            "text": "The door is open.\n> and it rains\n\n-- \nCam\n",
        },
    ),
    "format=flowed, delsp": (
        "Content-Type: text/plain; format=flowed; delsp=yes\n\n门 \n开着\n",
        {
            "headers": ["Content-Type: text/plain; format=flowed; delsp=yes"],
            "text": "门开着\n",
            "charset": (None, "utf-8", True),
        },
    ),
    "signed": (
        (
            'Content-Type: multipart/signed; boundary=b; protocol="application/pgp-signature"\n\n'
            "--b\n\nhello\n--b\nContent-Type: application/pgp-signature\n\nxx\n--b--\n"
        ),
        {
            "headers": ['Content-Type: multipart/signed; boundary=b; protocol="application/pgp-signature"'],
            "content_type": "multipart/signed",
            "text": "hello",
            "attachments": [("attachment-1.asc", "application/pgp-signature", None, None, None, 2)],
        },
    ),
    "encrypted": (
        (
            "Content-Type: multipart/encrypted; boundary=b\n\n--b\n"
            "Content-Type: application/pgp-encrypted\n\nVersion: 1\n--b\n"
            "Content-Type: application/octet-stream; name=encrypted.asc\n\nxx\n--b--\n"
        ),
        {
            "headers": ["Content-Type: multipart/encrypted; boundary=b"],
            "content_type": "multipart/encrypted",
            "text_source": "none",
            "attachments": [
                ("attachment-1.bin", "application/pgp-encrypted", None, None, None, 10),
                ("encrypted.asc", "application/octet-stream", None, None, None, 2),
            ],
        },
    ),
    "calendar in an alternative": (
        (
            "Content-Type: multipart/alternative; boundary=b\n\n--b\n\ncome\n--b\n"
            "Content-Type: text/calendar\n\nBEGIN:VCALENDAR\n--b--\n"
        ),
        {
            "headers": ["Content-Type: multipart/alternative; boundary=b"],
            "content_type": "multipart/alternative",
            "text": "come",
            "attachments": [("attachment-1.ics", "text/calendar", None, None, None, 15)],
        },
    ),
    "vCard alone": (
        "Content-Type: text/vcard\n\nBEGIN:VCARD\n",
        {
            "headers": ["Content-Type: text/vcard"],
            "content_type": "text/vcard",
            "text_source": "none",
            "attachments": [("attachment-1.vcf", "text/vcard", None, None, None, 13)],
        },
    ),
    "winmail.dat": (
        MIXED
        + (
            "--b\n\nhi\n--b\nContent-Type: application/ms-tnef; name=winmail.dat\n"
            "Content-Transfer-Encoding: base64\n\neJ8+IgE=\n--b--\n"
        ),
        {
            "headers": MIXED_HEADERS,
            "content_type": "multipart/mixed",
            "text": "hi",
            "attachments": [("winmail.dat", "application/ms-tnef", "application/ms-tnef", None, None, 5)],
        },
    ),
    # Seen in the wild besides
    "wrapped header without white space": (
        "Subject: a long one that\nwent on\nFrom: a@b\n\nhello\n",
        {
            "headers": ["Subject: a long one that went on", "From: a@b"],
            "subject": "a long one that went on",
            "from": ("", "a@b"),
            "text": "hello\n",
            "defects": ["header line without a name: read as part of the field before it"],
        },
    ),
    "blank lines in front": (
        "\n\nSubject: x\n\nhello\n",
        {
            "headers": ["Subject: x"],
            "subject": "x",
            "text": "hello\n",
            "defects": ["blanks in front of the header: left out"],
        },
    ),
    "mbox line in front": (
        "From a@b Mon Jan 25 18:24:49 2016\nSubject: x\n\nhello\n",
        {"headers": ["Subject: x"], "subject": "x", "text": "hello\n"},
    ),
    "junk behind the last boundary": (
        MIXED + "--b\n\none\n--b--;\nepilogue\n",
        {"headers": MIXED_HEADERS, "content_type": "multipart/mixed", "text": "one"},
    ),
}


def told(seen: MailEvent) -> dict[str, object]:
    """All that conversion makes of the octets, in short."""
    return {
        "headers": [f"{field.name}: {field.value}" for field in seen.headers],
        "message_id": seen.message_id,
        "subject": seen.subject,
        "date": seen.date,
        "date_raw": seen.date_raw,
        "content_type": seen.content_type,
        "from": seen.from_ and (seen.from_.name, seen.from_.address),
        "to": [(mailbox.name, mailbox.address) for mailbox in seen.to],
        "cc": [(mailbox.name, mailbox.address) for mailbox in seen.cc],
        "reply_to": [(mailbox.name, mailbox.address) for mailbox in seen.reply_to],
        "text": seen.text,
        "text_source": seen.text_source,
        "html": seen.html,
        "attachments": [
            (
                part.filename,
                part.content_type,
                part.detected_type,
                part.disposition,
                part.content_id,
                part.size,
            )
            for part in seen.attachments
        ],
        "charset": (seen.charset.declared, seen.charset.used, seen.charset.guessed),
        "defects": list(seen.defects),
    }


@pytest.mark.parametrize("row", TABLE)
def test_broken_mail_is_read_as_the_table_says(row: str) -> None:
    raw, expected = TABLE[row]
    assert told(event(raw)) == EMPTY | expected


@pytest.mark.parametrize("name", ["a" * 300 + ".jpg", "a" * 300 + "." + "b" * 250, "c" * 300])
def test_a_long_name_is_cut_and_keeps_a_short_ending(name: str) -> None:
    raw = f"{MIXED}--b\nContent-Disposition: attachment; filename={name}\n\nx\n--b--\n"
    [part] = event(raw).attachments
    assert part.filename is not None
    assert len(part.filename) == 200
    assert part.filename.endswith(".jpg") == name.endswith(".jpg")


def test_raw_8_bit_takes_the_fallback_of_the_io_server() -> None:
    seen = event("Subject: Ночь\n\nДверь".encode("koi8-r"), charset="koi8-r")
    assert (seen.subject, seen.text) == ("Ночь", "Дверь")
    assert seen.charset.guessed
