"""Scripts that misbehave: mail is accepted throughout, the log says what happened, the others go on."""

import asyncio
import smtplib
from pathlib import Path

import pytest

from tests.service import serving

GOOD = 'function IOEvent(name, value) { if (__run == 1) messageLog("good: " + JSON.parse(value).subject); }'

HOSTILE = {
    "throws.js": (
        'function IOEvent(name, value) {\n  if (__run == 1) throw new Error("oh no");\n}',
        r" \+ .*bad\.js.*:2.*oh no",
    ),
    "hangs.js": (
        "function IOEvent(name, value) { while (__run == 1) {} }",
        r"tried again in .* s: .*longer than 0.3 s and was killed",
    ),
    "hangs.py": (
        "def IOEvent(name, value):\n    while __run == 1:\n        pass\n",
        r"tried again in .* s: .*longer than 0.3 s and was killed",
    ),
    "grows.js": (
        'function IOEvent(name, value) { var all = []; while (__run == 1) all.push("x".repeat(1 << 20)); }',
        r" \+ .*bad\.js.*memory",
    ),
    "grows.py": (
        "def IOEvent(name, value):\n    all = []\n    while __run == 1:\n        all += [bytearray(2**20)]\n",
        r" \+ .*bad\.py.*MemoryError",
    ),
    "kills.py": (
        "import os\ndef IOEvent(name, value):\n    if __run == 1:\n        os.kill(os.getpid(), 9)\n",
        r"tried again in .* s.*(killed|died|SIGKILL)",
    ),
    "exits.py": (
        "import os\ndef IOEvent(name, value):\n    if __run == 1:\n        os._exit(3)\n",
        r"tried again in .* s",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_script_harms_itself_alone(tmp_path: Path, name: str) -> None:
    source, complaint = HOSTILE[name]
    limit = "0.3s" if name.startswith("hangs") else "10s"
    bad = f"bad.{name.partition('.')[2]}"
    sinks = (
        '[sinks.good]\ntype = "script"\npath = "good.js"\n'
        f'[sinks.bad]\ntype = "script"\npath = "{bad}"\ntime_limit = "{limit}"\nmemory_limit = "128 MiB"\n'
    )
    (tmp_path / bad).write_text(source)
    (tmp_path / "good.js").write_text(GOOD)
    async with serving(tmp_path, sinks) as service:
        for number in range(5):
            await asyncio.to_thread(send, service.port, f"mail {number}")
        for number in range(5):
            await service.line(f"good: mail {number}$")
        await service.line(complaint)
        await asyncio.to_thread(send, service.port, "one more")
        await service.line("good: one more$")


def send(port: int, subject: str) -> None:
    """Send one mail; raises unless it got its 250."""
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.sendmail("a@lan", ["b@lan"], f"Subject: {subject}\r\n\r\nhello\r\n")
