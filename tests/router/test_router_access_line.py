"""The router's line, to the letter: examples with the numbers and order of HEROKU.md 4.4."""

import pytest

from router.access_line import decoded, line, words
from router.reasons import Failure

RID = b"407b828f-ec16-bfef-cff3-25e749e57945"


def said(
    target=b"/",
    *,
    fwd=b"45.134.142.196",
    dyno="web.1",
    connect=1,
    service=459,
    status=200,
    size=15225,
    failure=None,
    method=b"GET",
):
    what = words(method, target, "www.x.de", RID, fwd)
    return line(what, dyno, connect, service, status, size, failure)


def test_a_request_that_went_well():
    assert said() == (
        'at=info method=GET path="/" host=www.x.de request_id=407b828f-ec16-bfef-cff3-25e749e57945 fwd="45.134.142.196" dyno=web.1 '
        "connect=1ms service=459ms status=200 bytes=15225 protocol=http1.1 tls=false"
    )


def test_nothing_is_said_of_what_was_not_reached():
    assert said(dyno="", connect=None, service=None, status=503, size=None, failure=Failure.H10) == (
        'at=error code=H10 desc="App crashed" method=GET path="/" host=www.x.de request_id=407b828f-ec16-bfef-cff3-25e749e57945 '
        'fwd="45.134.142.196" dyno= connect= service= status=503 bytes= protocol=http1.1 tls=false'
    )


@pytest.mark.parametrize(
    ("failure", "start"),
    [
        (Failure.H12, 'at=error code=H12 desc="Request timeout" method='),
        (Failure.H18, 'sock=backend at=error code=H18 desc="Server Request Interrupted" method='),
        (Failure.H27, 'sock=client at=warning code=H27 desc="Client Request Interrupted" method='),
        (Failure.H28, 'at=warning code=H28 desc="Client Connection Idle" method='),
        (Failure.H80, 'at=info code=H80 desc="Maintenance mode" method='),
        (Failure.H26_CHUNK, 'at=error code=H26 desc="Request Error" cause="bad chunk" method='),
    ],
)
def test_codes_stand_after_at_and_sock_before_it(failure, start):
    assert said(failure=failure).startswith(start)


def test_the_path_is_decoded_but_breaks_neither_line_nor_field():
    assert 'path="/a b/ä?q=1"' in said(b"/a%20b/%C3%A4?q=1")
    assert 'path="/%22 status=200"' in said(b"/%22%20status=200")
    assert 'path="/%0Ax"' in said(b"/%0ax")
    assert 'path="/%FF"' in said(b"/%FF")
    assert decoded(b"/%E2%80%A8") == "/%E2%80%A8"


def test_a_forged_chain_stays_within_its_quotes():
    assert 'fwd="1.2.3.4%22 dyno=web.9, 10.0.0.1"' in said(fwd=b'1.2.3.4" dyno=web.9, 10.0.0.1')


def test_a_failed_connection_has_a_connect_time_alone():
    assert "dyno=web.1 connect=5001ms service= status=503 bytes= " in said(
        connect=5001, service=None, status=503, size=None, failure=Failure.H19
    )
