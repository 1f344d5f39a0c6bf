"""Transcripts: bounded, newest first, the failed ones not hidden by the others."""

from mailbell.clock import SystemClock
from mailbell.reception import Counts
from mailbell.server.transcript import KEEP_LINES, KEEP_TEXT, Transcripts
from mailbell.smtp.replies import Reply


def test_the_last_connections_are_kept_newest_first() -> None:
    transcripts = Transcripts(SystemClock(), keep=2)
    made = [transcripts.begin("smtp", "127.0.0.1", port) for port in (1, 2, 3, 4)]
    for transcript in made[:3]:
        transcripts.end(transcript, "gone")
    assert [transcript.port for transcript in transcripts] == [4, 3, 2]
    assert transcripts.get(made[0].id) is None
    assert transcripts.get(made[2].id) is made[2]


def test_connections_that_brought_mail_do_not_push_out_those_that_failed() -> None:
    transcripts = Transcripts(SystemClock(), keep=2)
    for port in range(10):
        transcript = transcripts.begin("smtp", "127.0.0.1", port)
        transcript.mails = port % 5
        transcripts.end(transcript, "gone")
    assert [transcript.port for transcript in transcripts] == [9, 8, 5, 0]


def test_a_connection_without_mail_has_failed() -> None:
    transcripts = Transcripts(SystemClock())
    with_mail, without, still_open = (transcripts.begin("smtp", "127.0.0.1", 1) for _ in range(3))
    with_mail.mails = 1
    transcripts.end(with_mail, "QUIT")
    transcripts.end(without, "cut")
    assert [with_mail.failed, without.failed, still_open.failed] == [False, True, False]


def test_each_io_server_has_its_counts() -> None:
    transcripts = Transcripts(SystemClock())
    for octets, code in ((100, 250), (20, 452), (0, 535), (0, 535), (0, 221)):
        transcript = transcripts.begin("smtp", "127.0.0.1", 1)
        if octets:
            transcript.took(octets)
            transcript.took(octets)
        transcript.record(">", Reply(code, "", "text"))
        transcript.record("<", "550 says the client")
        transcripts.end(transcript, "QUIT")
    transcripts.begin("other", "127.0.0.1", 1)
    assert transcripts.counts["smtp"] == Counts(
        mails=4, octets=240, with_mail=2, refused=2, without=1, refusals={452: 1, 535: 2}
    )
    assert transcripts.counts["other"] == Counts()


def test_the_last_refusal_of_a_connection_that_failed_is_told() -> None:
    transcripts = Transcripts(SystemClock())
    for mails, expected in ((0, "535 5.7.8 Wrong user or password"), (1, None)):
        transcript = transcripts.begin("smtp", "127.0.0.1", 1)
        transcript.mails = mails
        assert transcript.session(whole=False).refusal is None
        for reply in (Reply(503, "5.5.1", "Bad order"), Reply(535, "5.7.8", "Wrong user or password")):
            transcript.record(">", reply)
        transcript.record(">", Reply(221, "2.0.0", "Bye"))
        transcripts.end(transcript, "QUIT")
        assert transcript.session(whole=False).refusal == expected


def test_a_long_dialogue_keeps_its_last_lines_and_a_long_line_its_beginning() -> None:
    transcript = Transcripts(SystemClock()).begin("smtp", "127.0.0.1", 1)
    for number in range(KEEP_LINES + 5):
        transcript.record("<", str(number))
    transcript.record("<", "x" * 4096)
    assert transcript.left_out == 6
    assert transcript.lines[0].text == "6"
    assert transcript.lines[-1].text == "x" * KEEP_TEXT + "…"
