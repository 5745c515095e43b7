"""Tests of what is done with heads run twice: with the compiled part, and without."""

import pytest

from router import compiled


@pytest.fixture(params=["compiled", "Python"])
def either_reader(request, monkeypatch):
    if request.param == "Python":
        for name in ("forward", "quick_request", "quick_response", "answer"):
            monkeypatch.setattr(compiled, name, compiled._nothing)
    elif not compiled.there:
        pytest.skip("heads.c is not compiled (make setup)")
