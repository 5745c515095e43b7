"""The table of everything that goes wrong, and the pages behind it."""

import pytest

from router.pages import answer, page
from router.reasons import Blame, Failure, Page, phrase

STATUS = {
    "H10": 503, "H11": 503, "H12": 503, "H13": 503, "H14": 503, "H15": 503, "H16": 301, "H17": 503, "H18": 503, "H19": 503, "H20": 503,
    "H21": 503, "H22": 503, "H23": 503, "H24": 503, "H27": 499, "H28": 499, "H31": 421, "H32": 495, "H33": 503, "H34": 503, "H80": 503,
    "H81": 502, "H82": 503, "H83": 503, "H99": 503,
}  # fmt: skip


def test_every_code_of_heroku_has_its_status():
    assert {failure.name: failure.value.status for failure in Failure if failure.name in STATUS} == STATUS
    assert {failure.value.status for failure in Failure if failure.value.code == "H25"} == {502}
    assert [
        Failure.H26_EXPECT.value.status,
        Failure.H26_HEADER.value.status,
        Failure.H26_CHUNK.value.status,
    ] == [417, 400, 400]


def test_no_row_hides_another():
    assert len(Failure.__members__) == len(list(Failure))


def test_words_before_the_code():
    info = {failure.name for failure in Failure if failure.value.at == "info"}
    assert info == {"H16", "H80", "H81", "H82", "H83"}
    assert {failure.name for failure in Failure if failure.value.at == "warning"} == {"H27", "H28"}
    assert Failure.H27.value.blame is Blame.CLIENT
    assert Failure.H13.value.blame is Blame.DYNO


@pytest.mark.parametrize("failure", list(Failure))
def test_every_failure_has_a_page_and_a_phrase(failure):
    body = page(failure)
    assert body.startswith((b"<!DOCTYPE html>", b"<html>"))
    made = answer(failure, body, date="D", keep=False, head_only=False)
    assert made.startswith(f"HTTP/1.1 {failure.value.status} {phrase(failure.value.status)}\r\n".encode())
    assert made.endswith(body)


def test_an_apps_own_pages_are_shown_in_a_frame_where_they_apply():
    own = {"error_page": 'https://e.example/?a=1&b="x', "maintenance_page": "https://m.example/"}
    assert b'<iframe src="https://e.example/?a=1&amp;b=&quot;x">' in page(Failure.H12, **own)
    assert b'<iframe src="https://m.example/">' in page(Failure.H80, **own)
    assert b"iframe" not in page(Failure.NO_SUCH_APP, **own)
    assert Failure.NO_SUCH_APP.value.page is Page.NO_APP
    assert b"No such app" in page(Failure.NO_SUCH_APP)


def test_the_whole_answer():
    assert answer(Failure.H14, b"page", date="Fri, 20 Nov 2026 10:00:00 GMT", keep=True, head_only=True) == (
        b"HTTP/1.1 503 Service Unavailable\r\nConnection: keep-alive\r\nServer: Heroku\r\nDate: Fri, 20 Nov 2026 10:00:00 GMT\r\n"
        b"Content-Length: 4\r\nContent-Type: text/html; charset=utf-8\r\nCache-Control: no-cache, no-store\r\n"
        b"Via: 1.1 heroku-router\r\n\r\n"
    )
