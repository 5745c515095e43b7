"""Dates as HTTP writes them, beside the standard library's."""

from email.utils import formatdate

from hypothesis import given
from hypothesis import strategies as st

from router.pages import http_date


@given(st.integers(0, 4_102_444_800))
def test_a_date_is_written_as_the_standard_library_does(at):
    assert http_date(at) == formatdate(at, usegmt=True)
