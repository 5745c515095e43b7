"""Tests of what is done with heads run twice: with the compiled part, and without."""

import pytest

from router import compiled, headers


@pytest.fixture(params=["compiled", "Python"])
def either_reader(request, monkeypatch):
    if request.param == "Python":
        monkeypatch.setattr(compiled, "quick_request", compiled._nothing)
        monkeypatch.setattr(compiled, "quick_response", compiled._nothing)
        monkeypatch.setattr(compiled, "dyno_head", headers.dyno_head)
        monkeypatch.setattr(compiled, "client_head", headers.client_head)
    elif not compiled.there:
        pytest.skip("heads.c is not compiled (make setup)")
