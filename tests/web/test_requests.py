"""What clients send: whatever it is, it is read or refused."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from mailbell.mailbox import Search
from mailbell.web import requests
from mailbell.web.events import Following
from mailbell.web.signin import Given
from mailbell.web.sinks import Chosen, Picked

BODIES = [requests.Selection, requests.Recipients, requests.TagName, requests.Message, requests.Triggers]
OURS = [Chosen, Picked, Given]
QUERIES = [requests.Listing, requests.SearchPage, requests.Download, Following]

NAMES = [
    *(
        "IDs",
        "ids",
        "READ",
        "Read",
        "Search",
        "Tags",
        "To",
        "From",
        "Email",
        "Name",
        "Headers",
        "Attachments",
    ),
    *("Content", "Filename", "Sender", "ErrorCode", "Probability", "parked", "sequences", "since", "sink"),
]
KEYS = st.text(max_size=5) | st.sampled_from(NAMES)
JSON: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)


class Request:
    """As much of one as is read."""

    def __init__(self, body: bytes = b"", query: list[tuple[str, str]] | None = None) -> None:
        self._body = body
        self.query = MultiDict(query or [])

    async def read(self) -> bytes:
        return self._body


@given(st.sampled_from(BODIES), JSON.map(json.dumps).map(str.encode) | st.binary(max_size=60))
def test_any_body_is_read_or_refused(kind: Any, body: bytes) -> None:
    try:
        read = asyncio.run(requests.read(Request(body), kind))  # type: ignore[arg-type]
    except web.HTTPBadRequest as error:
        assert error.text
        assert error.text.startswith("the body can't be used: ")
    else:
        assert type(read) is kind


@given(st.sampled_from(OURS), JSON.map(json.dumps).map(str.encode) | st.binary(max_size=60))
def test_any_body_of_ours_too(kind: Any, body: bytes) -> None:
    try:
        read = asyncio.run(requests.read_exactly(Request(body), kind))  # type: ignore[arg-type]
    except web.HTTPBadRequest as error:
        assert error.text
        assert error.text.startswith("the body: ")
    else:
        assert type(read) is kind


@pytest.mark.parametrize("depth", [100, 10_000, 1_000_000])
def test_however_deep(depth: int) -> None:
    for body in (b"[" * depth, b'{"a":' * depth, b"[" * depth + b"]" * depth):
        with pytest.raises(web.HTTPBadRequest):
            asyncio.run(requests.read(Request(body), requests.Selection))  # type: ignore[arg-type]


FIELDS = ("start", "limit", "before", "query", "tz", "dl", "format", "last_event_id", "last", "follow", "x")
VALUES = st.text(max_size=12) | st.integers().map(str) | st.sampled_from(["true", "1", "full", "²", "1e9"])
PARAMETERS = st.lists(st.tuples(st.sampled_from(FIELDS), VALUES), max_size=6)


@given(st.sampled_from(QUERIES), PARAMETERS)
def test_any_parameters_are_read_or_refused(kind: Any, given_: list[tuple[str, str]]) -> None:
    try:
        requests.query(Request(query=given_), kind)  # type: ignore[arg-type]
    except web.HTTPBadRequest as error:
        assert error.text
        assert error.text.startswith("the query: ")


@given(PARAMETERS)
def test_mailpits_are_never_refused(given_: list[tuple[str, str]]) -> None:
    read = requests.lenient(Request(query=given_), requests.Listing)  # type: ignore[arg-type]
    assert 0 <= read.start <= requests.LARGEST
    assert 0 <= read.limit <= requests.LARGEST


@given(PARAMETERS)
def test_a_search_needs_a_query_and_nothing_else(given_: list[tuple[str, str]]) -> None:
    request = Request(query=given_)
    if request.query.get("query", "").strip():
        assert isinstance(requests.search(request), Search)  # type: ignore[arg-type]
    else:
        with pytest.raises(web.HTTPBadRequest):
            requests.search(request)  # type: ignore[arg-type]


def test_the_names_of_header_fields_stay_as_they_are() -> None:
    body = json.dumps(
        {"from": {"EMAIL": "a@b"}, "HEADERS": {"ids": "x", "X-To": "y"}, "to": [{"email": "c@d"}]}
    )
    read = asyncio.run(requests.read(Request(body.encode()), requests.Message))  # type: ignore[arg-type]
    assert read.headers == {"ids": "x", "X-To": "y"}
    assert (read.from_.email, read.to) == ("a@b", [requests.Mailbox(email="c@d")])
