"""The shared corpus of unusual mail: each message as a person who reads its source would tell it.

The messages stay where they are, beside the project. Told are the name, subject, sender, where the text comes
from, how it begins (white space apart), and the names of the attachments.
"""

import pytest

from mailbell.event.schema import MailEvent
from tests.event.reading import converted
from tests.tools import ROOT, leave_out

CORPUS = ROOT.parent / "shared/corpus/enmime"

TABLE = """\
low-quality-bad-final-boundary | Attachment | james@makita.skynet | plain | A text section | foo_9E5D72.zip
low-quality-bad-header-start | plain text | james@makita.skynet | plain | A text section |
low-quality-bad-header-wrap | Attachment | james@makita.skynet | plain | A text section | 7DDA4_foo_9E5D72.zip
low-quality-empty-header | plain text | james@makita.skynet | plain | A text section |
low-quality-html-only-inline | MIME test 1 | james@makita.skynet | html | Test of HTML section | favicon.png
low-quality-incorrect-charset | plain text | james@makita.skynet | plain | Using Unicode/UTF-8, you |
low-quality-malformed-base64-attach | Attachment | james@makita.skynet | plain | A text section | some.doc
low-quality-missing-content-type | plain text | james@makita.skynet | plain | A plain text email |
low-quality-missing-content-type2 | plain text | james@makita.skynet | plain | A text section |
low-quality-unk-charset-html-only | Attachment | james@makita.skynet | html | Hello World! |
low-quality-unk-charset-part | Attachment | james@makita.skynet | plain | A text section | foo_9E5D72.zip
low-quality-unk-encoding-part | Attachment | james@makita.skynet | plain | A text section | foo_9E5D72.zip
mail-attachment-application | Attachment | james@makita.skynet | plain | A text section | some.doc
mail-attachment-octet | In One Ear | me@here.com | plain | A text section | ATTACHMENT.EXE
mail-attachment-only-inline-quoted-printable | Text body only with disposition inline | cgarrett@stuff.com | html | Just some html content |
mail-attachment-only-inline | Test | alice@test.com | none |  | favicon.jpg
mail-attachment-only-no-disposition | Test | alice@test.com | none |  | favicon.jpg
mail-attachment-only-text-attachment | Test | alice@test.com | none |  | test.csv
mail-attachment-only | Test | alice@test.com | none |  | favicon.jpg
mail-attachment | Attachment | james@makita.skynet | plain | A text section | test.html
mail-ctype-bug | Welcome to Papertrail | support@papertrailapp.com | plain | What's next? Head over t |
mail-epilogue-sample | Epilogue | pem@open.ch | plain | A text section | test.html
mail-erroneous |  |  | plain | // Not an RFC-822 Docume |
mail-header-only | Attachment | james@makita.skynet | plain |  |
mail-html-mime-bad-charset-inline | MIME test 1 | james@makita.skynet | plain | Test of text section | favicon.png
mail-html-mime-bad-unknown-charset-inline | MIME test 1 | james@makita.skynet | plain | Test of text section | favicon.png
mail-html-mime-inline | MIME test 1 | james@makita.skynet | plain | Test of text section | favicon.png
mail-html-only-inline | MIME test 1 | james@makita.skynet | html | Test of HTML section | favicon.png
mail-inlinemultipart | Test | bob@extern | plain | Simple text. | test.pdf, test.txt
mail-malformed-multiple-address-header-values | Test | bob@extern | plain | Simple text. | test.pdf, test.txt
mail-mime-alternative | Multipart Mixed | jamehi03@jamehi03lx.noa.com | plain | Section one |
mail-mime-bad-8bit-filename | Malformed test | pavel.bazika@some.domain | plain | Text part | 管理.doc
mail-mime-bad-content-transfer-encoding | alert | example@demo.com | plain | ploozdect nispplul swunk |
mail-mime-bad-content-type | Confirmation of Booking with easyHotel | bookings@easyHotel.com | plain | Thank you for booking wi | Invoice_302232133150612.pdf
mail-mime-blank-media-name | Confirmation of Booking with easyHotel | bookings@easyHotel.com | plain | Thank you for booking wi | Invoice_302232133150612.pdf
mail-mime-duplicate-param | Confirmation of Booking with easyHotel | bookings@easyHotel.com | plain | Thank you for booking wi | Invoice_302232133150612.pdf
mail-mime-mixed-related | Multipart Mixed | jamehi03@jamehi03lx.noa.com | html | html1 html2 |
mail-mime-mixed | Multipart Mixed | jamehi03@jamehi03lx.noa.com | plain | Section one Section two |
mail-mime-signed | Multipart Signed | jamehi03@jamehi03lx.noa.com | plain | Section one Section two | signature.asc
mail-mime-unquoted-tspecials-param | Confirmation of Booking with easyHotel | bookings@easyHotel.com | plain | Thank you for booking wi | Invoice_(302232133150612).pdf
mail-multipart-wo-boundary | Delivery Status Notification (Failure) | Mailer-Daemon@example.com | plain | I'm multipart message wi |
mail-non-mime-html-charset-header-only | Test | alice@intern.com | html | Test Müller |
mail-non-mime-html | test Sun, 14 Oct 2012 16:09:01 -0700 | james@hillyerd.com | html | This is a test mailing |
mail-non-mime-missing-charset | test Sun, 14 Oct 2012 16:09:01 -0700 | james@hillyerd.com | html | Unencoded Euro Sign: Â€ |
mail-non-mime | test Sun, 14 Oct 2012 16:09:01 -0700 | james@hillyerd.com | plain | This is a test mailing |
mail-other-multi-related | MIME test 1 | james@makita.skynet | plain | Plain text. | image001.png, image002.png
mail-other-parts | Emoji from Gmail | valere.jeantet@gmail.com | plain | A text section | B05.gif
mail-qp-ascii-header | Test QP Subject! | james@hillyerd.com | plain | This is a test mailing |
mail-qp-utf8-header-no-break | MIME UTF8 Test ¢ More Text | jamehi03@jamehi03lx.noa.com | plain | Lorem ipsum dolor sit am |
mail-qp-utf8-header-recursed | MIME UTF8 Test ¢ More Text | jamehi03@jamehi03lx.noa.com | plain | Lorem ipsum dolor sit am |
mail-qp-utf8-header | MIME UTF8 Test ¢ More Text | jamehi03@jamehi03lx.noa.com | plain | Lorem ipsum dolor sit am |
mail-quoted-printable-mime | MIME Quoted Printable | jamehi03@jamehi03lx.noa.com | plain | Lorem ipsum dolor sit am |
mail-quoted-printable | Quoted Printable | james@makita.skynet | plain | Lorem ipsum dolor sit am |
mail-unknown-part-type | Emoji from Gmail | valere.jeantet@gmail.com | plain | A text section | B05.gif
parts-badboundary |  |  | plain | A text section |
parts-barren-content-type |  |  | none |  | attachment-1.txt
parts-bin-attach |  |  | plain | A text section | test.bin
parts-chardet-detection |  |  | plain | Loggen Sie sich ein, um |
parts-chardet-fail-non-txt |  |  | none |  | rzkly.gif
parts-chardet-fail-not-long-enough |  |  | plain | 和弟弟 |
parts-chardet-fail |  |  | none |  | rzkly.txt
parts-chardet-success-big-5 |  |  | plain | ÃC¬O®a°V ¥_»ô ÃC¤§±À ¨÷² |
parts-chardet-success-iso-8859-1 |  |  | plain | DIE Drachenköpfe unserer |
parts-ctype-invalid-characters |  |  | plain | Test of text/plain secti |
parts-empty-ctype-bad-content |  |  | html | Use the View Invoices fu |
parts-empty-header |  |  | plain | A text section |
parts-extra-base64-character | Each part contains 1 extra base64 character (4*n + 1) |  | plain | Hello World! |
parts-header-only |  |  | html |  |
parts-html-with-boundary |  |  | html | An HTML section |
parts-malformed-content-type-params |  |  | html |  |
parts-missing-closing-param-quote |  |  | html |  |
parts-missing-ctype-root |  |  | plain | According to RFC 822, co |
parts-missing-ctype |  |  | plain | A text section |
parts-multi-malformed |  |  | plain | Section one I'm section |
parts-multialtern |  |  | plain | A text section |
parts-multibase64 |  |  | plain | A text section | test.html
parts-multimixed-no-closing-boundary |  |  | html | Hello, |
parts-multimixed |  |  | plain | Section one Section two |
parts-multiother |  |  | plain | Section one Section two |
parts-nestedmulti |  |  | plain | A text section | attach.txt, attach2.txt
parts-quoted-printable-invalid |  |  | plain | https://www.amazon.ca/gp |
parts-quoted-printable |  |  | plain | Start=ABC=Finish |
parts-similar-boundary |  |  | plain | Section one A text secti |
parts-textplain |  |  | plain | Test of text/plain secti |
parts-unquoted-ctype-param-special |  |  | none |  | calendar.ics
"""  # noqa: E501  one message a line
EXPECTED = {line.partition(" | ")[0]: line for line in TABLE.splitlines()}


def told(name: str, seen: MailEvent) -> str:
    beginning = " ".join(seen.text.split())[:24].strip()
    files = ", ".join(part.filename or "" for part in seen.attachments)
    sender = seen.from_.address if seen.from_ else ""
    return " | ".join((name, seen.subject or "", sender, seen.text_source, beginning, files)).rstrip()


@pytest.mark.parametrize("name", EXPECTED)
def test_corpus(name: str) -> None:
    path = CORPUS / f"{name}.eml"
    if not path.exists():
        leave_out(f"no {path}: the corpus lies beside the project")
    assert told(name, converted(path.read_bytes()).event) == EXPECTED[name]


def test_no_message_of_the_corpus_is_left_out() -> None:
    if not CORPUS.exists():
        leave_out(f"no {CORPUS}: the corpus lies beside the project")
    assert {path.stem for path in CORPUS.glob("*.eml")} == set(EXPECTED)


def test_a_lie_about_big5_is_seen_through_by_the_charset_of_the_io_server() -> None:
    path = CORPUS / "parts-chardet-success-big-5.eml"
    if not path.exists():
        leave_out(f"no {path}: the corpus lies beside the project")
    seen = converted(path.read_bytes(), charset="big5").event
    assert seen.text.startswith("顏是家訓")
    assert seen.charset.guessed
