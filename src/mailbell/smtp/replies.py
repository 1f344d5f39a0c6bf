"""Replies: code, enhanced code (RFC 3463) and a text that tells a person what to do."""

import msgspec


class Reply(msgspec.Struct, frozen=True):
    """One reply. `enhanced` is empty where RFC 2034 §4 has none (greeting, EHLO, 334, 354); lines of `text` are split at \\n."""

    code: int
    enhanced: str
    text: str

    def encode(self) -> bytes:
        """The reply on the wire, every line with code and enhanced code."""
        lead = f"{self.enhanced} " if self.enhanced else ""
        lines = self.text.split("\n")
        wire = [f"{self.code}-{lead}{line}\r\n" for line in lines[:-1]]
        wire.append(f"{self.code} {lead}{lines[-1]}\r\n")
        return "".join(wire).encode("utf-8", "replace")
