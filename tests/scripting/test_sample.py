from mailbell.scripting.sample import sample


def test_the_sample_is_the_example_of_the_page() -> None:
    assert sample().event.name == "smtp.mail"
    assert sample().value == (
        '{"from":"My Name <me@example.com>","to":"test@hsyco.com","subject":"This is a test",'
        '"date":"Mon, 25 Jan 2016 18:24:49 +0100","contenttype":"text/plain; charset=us-ascii",'
        '"returnpath":"",'
        '"body":["My mail body."]}'
    )
