"""What holds for any octets whatever."""

import json
import random

import fastjsonschema
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbell.event.schema import json_schema
from tests.event.making import SCRAPS, damage, make
from tests.event.reading import converted

VALIDATE = fastjsonschema.compile(json_schema())
FORBIDDEN = {"\0", *map(chr, range(0xD800, 0xE000))}

damaged = st.randoms(use_true_random=False).map(lambda rng: damage(rng, make(rng)))
scraps = st.lists(st.sampled_from(SCRAPS) | st.binary(max_size=5), max_size=60).map(b"".join)
labels = st.sampled_from(["latin-1", "utf-8", "gb18030", "koi8-r"])


def check(raw: bytes, *, rawbody: bool = False, charset: str = "latin-1") -> None:
    """Both forms are JSON without NUL or surrogate, and hold to the schema; attachments are as announced."""
    item = converted(raw, rawbody=rawbody, charset=charset)
    fields = VALIDATE(json.loads(item.json))
    value = json.loads(item.value)
    assert not FORBIDDEN & set(str(fields) + str(value))
    assert list(value)[:6] == ["from", "to", "subject", "date", "contenttype", "returnpath"]
    assert list(value)[-1] == "body"
    assert len(value["body"]) <= 64
    assert "\n" not in "".join(value["body"])
    for part in item.event.attachments:
        assert len(item.attachment(part.index)) == part.size


@given(st.binary(max_size=500) | scraps | damaged, st.booleans(), labels)
def test_any_octets_give_an_event(raw: bytes, rawbody: bool, charset: str) -> None:
    check(raw, rawbody=rawbody, charset=charset)


@given(st.randoms(use_true_random=False))
def test_well_formed_mail_has_no_defect(rng: random.Random) -> None:
    seen = converted(make(rng)).event
    assert not [defect for defect in seen.defects if "charset" not in defect]


@settings(max_examples=20)
@given(damaged)
def test_conversion_is_a_function(raw: bytes) -> None:
    assert converted(raw).json == converted(raw).json
