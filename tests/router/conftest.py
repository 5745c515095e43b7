"""Tests of what is done with heads run twice: with the compiled part, and without."""

import pytest

from router import compiled, headers


@pytest.fixture(params=["compiled", "Python"])
def either_reader(request, monkeypatch):
    if request.param == "Python":
        for name in ("quick_request", "quick_response", "whole_answer", "access_line"):
            monkeypatch.setattr(compiled, name, compiled._nothing)
        monkeypatch.setattr(compiled, "dyno_head", headers.dyno_head)
    elif not compiled.there:
        pytest.skip("heads.c is not compiled (make setup)")
