"""Mailpit's API: the shapes, and the traps of its clients. A real server, mail by SMTP."""

import base64
import hashlib
import json
from email.message import EmailMessage
from pathlib import Path

import pytest

from mailbell.settings import MatchSettings, SmtpSettings
from tests.web.conftest import Api, serving, settings

SCRIPT = b"<script>alert(1)</script>"
ADDRESS = {"Name": str, "Address": str}
SUMMARY = {
    "ID": str, "MessageID": str, "Read": bool, "From": ADDRESS, "To": [ADDRESS], "Cc": [ADDRESS],
    "Bcc": [ADDRESS], "ReplyTo": [ADDRESS], "Subject": str, "Created": str, "Username": str,
    "Tags": [str], "Size": int, "Attachments": int, "Snippet": str, "Sequence": int, "Delivery": str,
}  # fmt: skip
LIST = {
    "total": int, "unread": int, "count": int, "messages_count": int, "messages_unread": int, "start": int,
    "tags": [str], "messages": [SUMMARY],
}  # fmt: skip
PART = {
    "PartID": str, "FileName": str, "ContentType": str, "ContentID": str, "Size": int,
    "Checksums": {"MD5": str, "SHA1": str, "SHA256": str},
}  # fmt: skip
DETAIL = {
    "ID": str, "MessageID": str, "Read": bool, "From": ADDRESS, "To": [ADDRESS], "Cc": [ADDRESS],
    "Bcc": [ADDRESS], "ReplyTo": [ADDRESS], "ReturnPath": str, "Subject": str, "Date": str, "Tags": [str],
    "Username": str, "ListUnsubscribe": {"Header": str, "Links": [str], "Errors": str, "HeaderPost": str},
    "Text": str, "HTML": str, "Size": int, "Inline": [PART], "Attachments": [PART],
}  # fmt: skip
INFO = {
    "Version": str, "LatestVersion": str, "Database": str, "DatabaseSize": int, "Messages": int,
    "Unread": int, "Tags": dict,
    "RuntimeStats": {
        "Uptime": int, "Memory": int, "MessagesDeleted": int, "SMTPAccepted": int, "SMTPAcceptedSize": int,
        "SMTPRejected": int, "SMTPIgnored": int,
    },
}  # fmt: skip


def check(value: object, shape: object) -> None:
    """The value has exactly these keys, and values of these types."""
    match shape:
        case dict():
            assert isinstance(value, dict)
            assert value.keys() == shape.keys()
            for key, inner in shape.items():
                check(value[key], inner)
        case [inner]:
            assert isinstance(value, list)
            for each in value:
                check(each, inner)
        case type():
            assert type(value) is shape


def with_files() -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = "Gate <cam@cams.lan>", "a@house.lan"
    message["List-Unsubscribe"] = "<https://cams.lan/u>, <mailto:u@cams.lan>"
    message.set_content("see")
    message.add_alternative('<p onclick="x()">see <img src="cid:pic%401"></p>', subtype="html")
    gif = base64.b64decode("R0lGODlhAQABAIAAAP///wAAACH5BAAAAAAALAAAAAABAAEAAAICRAEAOw==")
    message.add_attachment(gif, "image", "gif", filename="p.gif", disposition="inline", cid="<pic@1>")
    message.add_attachment(SCRIPT, "text", "html", filename='../ü"\n;x.html')
    return message


async def test_an_empty_inbox(api: Api) -> None:
    listing = await api.get("/api/v1/messages")
    check(listing, LIST)
    assert listing["messages"] == listing["tags"] == []
    assert await api.get("/api/v1/tags") == []
    assert (await api.ask("GET", "/api/v1/message/latest"))[0] == 404


async def test_list(api: Api) -> None:
    for number in range(3):
        await api.mail(f"n{number}", "line one\nline two", Cc="c@house.lan", Reply_To="Desk <d@house.lan>")
    listing = await api.get("/api/v1/messages?limit=2&start=1")
    check(listing, LIST)
    assert [each["Subject"] for each in listing["messages"]] == ["n1", "n0"]
    assert (listing["total"], listing["count"], listing["messages_count"], listing["start"]) == (3, 2, 3, 1)
    first = listing["messages"][0]
    assert first["From"] == {"Name": "Gate", "Address": "cam@cams.lan"}
    assert first["Bcc"] == [{"Name": "", "Address": "hidden@house.lan"}]
    assert first["ReplyTo"] == [{"Name": "Desk", "Address": "d@house.lan"}]
    assert first["Snippet"] == "line one line two"
    assert len(await api.subjects("/api/v1/messages?limit=0")) == 3
    assert len(await api.subjects("/api/v1/messages?limit=x&start=-1&before=&tz=/etc/passwd")) == 3


async def test_detail_marks_as_read(api: Api) -> None:
    await api.put(with_files())
    (id_,) = await api.ids()
    found = await api.get(f"/api/v1/message/{id_}")
    check(found, DETAIL)
    assert found["Read"] is True
    assert found["ReturnPath"] == "cam@cams.lan"
    assert found["ListUnsubscribe"]["Links"] == ["https://cams.lan/u", "mailto:u@cams.lan"]
    assert [each["FileName"] for each in found["Inline"]] == ["p.gif"]
    assert found["Attachments"][0]["Checksums"]["MD5"] == hashlib.md5(SCRIPT).hexdigest()
    assert found["Text"].strip() == "see"
    assert await api.subjects("/api/v1/search?query=is:unread") == []
    assert await api.get("/api/v1/message/latest") == found


async def test_headers_and_source(api: Api) -> None:
    await api.mail("Tür", message_id="<1@x>", X_CAMERA="3")
    headers = await api.get("/api/v1/message/latest/headers")
    assert headers["Subject"] == ["Tür"]
    assert headers["Message-Id"] == ["<1@x>"]
    assert headers["X-Camera"] == ["3"]
    status, raw = await api.ask("GET", "/api/v1/message/latest/raw")
    assert status == 200
    assert raw.startswith("From: Gate <cam@cams.lan>\r\n")


async def test_parts(api: Api) -> None:
    await api.put(with_files())
    detail = await api.get("/api/v1/message/latest")
    number = detail["Attachments"][0]["PartID"]
    async with api.http.get(f"{api.url}/api/v1/message/latest/part/{number}") as response:
        assert await response.read() == SCRIPT
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Disposition"].startswith("attachment; filename*=UTF-8''")
        assert not set(response.headers["Content-Disposition"]) & set('"/\\\n\r') - {"'"}
        assert response.headers["Content-Security-Policy"].startswith("sandbox;")
    for wrong in ("0", "3", "x", "-1", "1e3", "9" * 30):
        assert (await api.ask("GET", f"/api/v1/message/latest/part/{wrong}"))[0] == 404


async def test_view_runs_nothing_and_has_its_images_in_it(api: Api) -> None:
    await api.put(with_files())
    (id_,) = await api.ids()
    async with api.http.get(f"{api.url}/view/{id_}.html") as response:
        policy = response.headers["Content-Security-Policy"]
        assert policy.startswith("sandbox; default-src 'none';")
        assert 'src="data:image/gif;base64,R0lGOD' in await response.text()
    status, text = await api.ask("GET", "/view/latest.txt")
    assert (status, text.strip()) == (200, "see")
    await api.mail("plain", "<b>not bold</b>")
    assert "&lt;b&gt;not bold&lt;/b&gt;" in (await api.ask("GET", "/view/latest.html"))[1]


async def test_search_and_delete_what_is_found(api: Api) -> None:
    for subject in ("Power on", "Power off", "Motion"):
        await api.mail(subject)
    found = await api.get('/api/v1/search?query=subject:"power"&limit=1')
    check(found, LIST)
    assert (found["total"], found["messages_count"], found["count"]) == (3, 2, 1)
    assert (await api.ask("GET", "/api/v1/search"))[0] == 400
    assert (await api.ask("DELETE", "/api/v1/search?query="))[0] == 400
    await api.ok("DELETE", "/api/v1/search?query=power&tz=Europe/Rome")
    assert await api.subjects() == ["Motion"]


@pytest.mark.parametrize(
    "body", [None, b"", b"no json", b"null", b"[]", {}, {"IDs": []}, {"IDs": None}, {"ids": []}]
)
async def test_delete_without_ids_means_all(api: Api, body: object) -> None:
    await api.mail()
    await api.ok("DELETE", "/api/v1/messages", body)
    assert await api.subjects() == []


@pytest.mark.parametrize("key", ["IDs", "ids", "Ids", "IDS"])
async def test_keys_in_any_case(api: Api, key: str) -> None:
    for number in range(3):
        await api.mail(f"n{number}")
    ids = await api.ids()
    await api.ok("DELETE", "/api/v1/messages", {key: [ids[0], "unknown"]})
    assert await api.subjects() == ["n1", "n0"]
    await api.ok("PUT", "/api/v1/messages", {key: [ids[1]], "READ": True})
    assert await api.subjects("/api/v1/search?query=is:read") == ["n1"]


async def test_put_without_ids_means_all_unless_there_is_a_search(api: Api) -> None:
    for subject in ("Power", "Motion"):
        await api.mail(subject)
    await api.ok("PUT", "/api/v1/messages", {"Read": True, "IDs": [], "Search": "power"})
    assert await api.subjects("/api/v1/search?query=is:read") == ["Power"]
    await api.ok("PUT", "/api/v1/messages", {"Read": True})
    assert (await api.get("/api/v1/messages"))["unread"] == 0
    assert (await api.ask("PUT", "/api/v1/messages", b"no json"))[0] == 400


@pytest.mark.parametrize("path", ["//api/v1/messages", "/api//v1///messages", "/api/v1/messages/"])
async def test_slashes_too_many(api: Api, path: str) -> None:
    await api.mail()
    assert await api.subjects(path) == ["Motion"]


async def test_tags(api: Api) -> None:
    await api.mail("one")
    await api.mail("two", X_Tags="night")
    two, one = await api.ids()
    await api.ok("PUT", "/api/v1/tags", {"IDs": [one, two], "Tags": ["a/b", "day"]})
    assert await api.get("/api/v1/tags") == ["a/b", "day"]
    await api.ok("PUT", "/api/v1/tags/a%2Fb", {"Name": "Front door"})
    await api.ok("DELETE", "/api/v1/tags/day")
    assert (await api.get("/api/v1/messages"))["messages"][0]["Tags"] == ["Front door"]
    assert (await api.get("/api/v1/info"))["Tags"] == {"Front door": 2}
    assert (await api.ask("PUT", "/api/v1/tags/x", {"Name": " "}))[0] == 400


async def test_send(api: Api) -> None:
    request = {
        "From": {"Email": "a@b.lan", "Name": "Ä, B"},
        "To": [{"Email": "to@b.lan"}],
        "Cc": [{"Email": "cc@b.lan", "Name": "C"}],
        "Bcc": ["bcc@b.lan"],
        "ReplyTo": [{"Email": "r@b.lan"}],
        "Subject": "Grüße",
        "Text": "text",
        "HTML": '<img src="cid:i">',
        "Tags": ["t1", "t2"],
        "Headers": {"X-Own": "yes"},
        "Attachments": [
            {"Content": "aGk=", "Filename": "ü.txt", "ContentType": "text/plain"},
            {"Content": "aGk=", "Filename": "i.png", "ContentType": "image/png", "ContentID": "i"},
        ],
    }
    status, text = await api.ask("POST", "/api/v1/send", request)
    assert status == 200
    found = await api.get(f"/api/v1/message/{json.loads(text)['ID']}")
    check(found, DETAIL)
    assert found["From"] == {"Name": "Ä, B", "Address": "a@b.lan"}
    assert found["Bcc"] == [{"Name": "", "Address": "bcc@b.lan"}]
    assert (found["Subject"], found["Text"].strip(), found["Tags"]) == ("Grüße", "text", ["t1", "t2"])
    assert [each["FileName"] for each in found["Attachments"]] == ["ü.txt"]
    assert [each["ContentID"] for each in found["Inline"]] == ["i"]
    assert (await api.get("/api/v1/message/latest/headers"))["X-Own"] == ["yes"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"To": []},
        {"Subject": "a\r\nBcc: x@y.z"},
        {"From": {"Email": "a\r\nX: y@z"}},
        {"From": {"Email": "nobody"}},
        {"From": {"Email": "a@b.lan", "Name": "x\r\nBcc: y@z"}},
        {"Bcc": ["a@b.lan\r\nRCPT TO:<x@y>"]},
        {"Headers": {"X: y\r\nBcc": "z"}},
        {"Headers": {"X-A": "y\r\nBcc: z"}},
        {"Headers": {"Content-Type": "text/html"}},
        {"Tags": ["a\r\nBcc: z"]},
        {"Attachments": [{"Content": "no base64!", "Filename": "x"}]},
        {"Attachments": [{"Content": "aGk=", "ContentType": "a/b\r\nX: y"}]},
        {"Subject": 5},
    ],
)  # fmt: skip
async def test_what_can_be_no_mail_is_refused(api: Api, wrong: dict[str, object]) -> None:
    good = {"From": {"Email": "a@b.lan"}, "To": [{"Email": "to@b.lan"}]}
    status, text = await api.ask("POST", "/api/v1/send", good | wrong)
    assert status == 400, text
    assert await api.subjects() == []


async def test_chaos_acts_on_the_next_mail(api: Api) -> None:
    assert (await api.get("/api/v1/chaos"))["Sender"] == {"ErrorCode": 451, "Probability": 0}
    rule = {"sender": {"errorCode": 421, "probability": 100}}
    assert json.loads((await api.ask("PUT", "/api/v1/chaos", rule))[1])["Sender"]["ErrorCode"] == 421
    with pytest.raises(Exception, match="refused on purpose"):
        await api.mail()
    assert (await api.ask("PUT", "/api/v1/chaos", {"Sender": {"ErrorCode": 200}}))[0] == 400
    assert (await api.ask("PUT", "/api/v1/chaos", {"Sender": {"Probability": 101}}))[0] == 400
    assert (await api.ask("PUT", "/api/v1/chaos", {}))[0] == 200
    await api.mail()


async def test_info_webui_and_health(api: Api) -> None:
    await api.mail()
    await api.mail()
    await api.ok("DELETE", "/api/v1/messages", {"IDs": ["latest"]})
    info = await api.get("/api/v1/info")
    check(info, INFO)
    assert (info["Messages"], info["Unread"]) == (1, 1)
    assert info["RuntimeStats"]["SMTPAccepted"] == 2
    assert info["RuntimeStats"]["MessagesDeleted"] == 1
    webui = await api.get("/api/v1/webui")
    assert webui["MessageRelay"]["Enabled"] is False
    await api.ok("GET", "/livez")
    await api.ok("GET", "/readyz")
    status, text = await api.ask("POST", "/api/v1/message/latest/release", {"To": ["x@y.lan"]})
    assert status == 400
    assert 'type = "smtp"' in text


async def test_release_to_a_real_server(tmp_path: Path) -> None:
    async with serving(settings(tmp_path / "target")) as target:
        match = MatchSettings(subject=("nothing",))
        relay = SmtpSettings(host="127.0.0.1", port=target.smtp, tls="off", match=match)
        async with serving(settings(tmp_path / "first", relay=relay)) as api:
            await api.mail("to be released")
            path = "/api/v1/message/latest/release"
            await api.ok("POST", path, {"To": ["{x}@office.lan", "y@office.lan"]})
            found = await target.get("/api/v1/message/latest")
            assert found["Subject"] == "to be released"
            assert {each["Address"] for each in found["Bcc"]} == {"{x}@office.lan", "y@office.lan"}
            assert (await api.ask("POST", path, {"To": []}))[0] == 400
            status, text = await api.ask("POST", path, {"To": ["a@b\r\nDATA"]})
            assert status == 400, text


async def test_what_is_not_there(api: Api) -> None:
    for path in ("/nope", "/api/v1/message/none", "/view/none.html", "/api/v1/message/none/raw", "/../x"):
        assert (await api.ask("GET", path))[0] == 404
    assert (await api.ask("POST", "/api/v1/info"))[0] == 405
