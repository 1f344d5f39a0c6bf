"""W3C Trace Context: to which trace an event belongs, so that what it sets off can be followed."""

import re

from mailbell.event.schema import MailEvent

_PARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_STATE = re.compile(r"[\x20-\x7e]{1,512}")


def context(event: MailEvent) -> dict[str, str]:
    """Return the header fields: those of the mail, where its sender was traced, else a trace of its own.

    We record no span, so the sender's parent-id is passed on as it is (Trace Context § 4.3).
    """
    given = {each.name.lower(): each.value.strip() for each in reversed(event.headers)}
    parent = _passed_on(given.get("traceparent", ""))
    if parent is None:
        return {"traceparent": _own(event.id)}
    state = given.get("tracestate", "")
    return {"traceparent": parent} | ({"tracestate": state} if _STATE.fullmatch(state) else {})


def _passed_on(value: str) -> str | None:
    """As version 00 has it: a later one may only have more behind its four fields (§ 3.2.4)."""
    found = _PARENT.fullmatch(value)
    if found is None or (found[1] == "00" and found[5]):
        return None
    return f"00-{found[2]}-{found[3]}-{found[4]}"


def _own(id_: str) -> str:
    """Derived from the UUID, so the same at each try. Sampled: who has an event followed wants to see it."""
    trace = id_.replace("-", "")
    return f"00-{trace}-{trace[16:]}-01"
