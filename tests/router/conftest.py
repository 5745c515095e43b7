"""Tests of what is done with heads and in handshakes run twice: with the compiled parts, and without."""

import pytest

from router import compiled, hands


@pytest.fixture(params=["compiled", "Python"])
def either_reader(request, monkeypatch):
    if request.param == "Python":
        for name in ("forward", "quick_request", "quick_response", "answer"):
            monkeypatch.setattr(compiled, name, compiled._nothing)
    elif not compiled.there:
        pytest.skip("heads.c is not compiled (make setup)")


@pytest.fixture(params=["compiled", "Python"])
def either_hands(request, monkeypatch):
    if request.param == "Python":
        monkeypatch.setattr(hands, "shake", hands.slow_shake)
        monkeypatch.setattr(hands, "goodbye", hands.slow_goodbye)
        monkeypatch.setattr(hands, "there", False)
    elif not hands.there:
        pytest.skip("hands.c is not compiled (make setup), or this Python is another than it knows")
