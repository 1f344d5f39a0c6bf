"""The plugin as a project's tests load it: by itself, with options, and with pytest-xdist."""

import pytest

TEST = """
    import smtplib

    def send(server, subject):
        with smtplib.SMTP(server.host, server.port) as client:
            client.sendmail("a@lan", ["b@lan"], f"Subject: {subject}\\r\\n\\r\\nhello\\r\\n")
"""


def test_each_test_has_a_server_of_its_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        TEST
        + """
    def test_one(mailbell):
        send(mailbell, "one")
        assert [each.subject for each in mailbell.events] == ["one"]

    def test_two(mailbell, mailbell_session):
        assert mailbell.events == []
        send(mailbell_session, "kept")

    def test_three(mailbell_session):
        assert mailbell_session.wait_for(timeout=0).subject == "kept"
    """
    )
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=3)


def test_options_come_from_a_fixture(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture(scope="session")
        def mailbell_options():
            return {"max_size": "1 KiB"}
        """
    )
    pytester.makepyfile(
        TEST
        + """
    import pytest

    def test_too_large(mailbell):
        with pytest.raises(smtplib.SMTPException, match="552"):
            send(mailbell, "x" * 2000)
    """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_workers_of_xdist_do_not_meet(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        TEST
        + """
    import pytest

    @pytest.mark.parametrize("number", range(8))
    def test_many(mailbell_session, number):
        send(mailbell_session, f"mail {number}")
        assert mailbell_session.wait_for(subject=f"mail {number}")
        assert len(mailbell_session.events) <= 8
    """
    )
    pytester.runpytest_subprocess("-n", "2").assert_outcomes(passed=8)


def test_what_is_not_there_is_a_failure_that_shows_what_is(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        TEST
        + """
    def test_it(mailbell):
        send(mailbell, "Hello")
        mailbell.wait_for(subject="Goodbye", timeout=0.1)
    """
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*NotReceived: no mail with subject='Goodbye' within 0.1 s", "*'Hello'*"])
