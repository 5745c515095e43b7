"""HEROKU.md 4.1, row by row: the spans and sizes that all other tests shorten or are given."""

from dynod.model.settings import Settings
from router import balance, heads, server
from router.timers import Timers


def test_the_spans_are_herokus_to_the_second():
    timers = Timers()
    assert (timers.connect, timers.quarantine) == (5, 5)
    assert (timers.first_byte, timers.idle) == (30, 55)
    assert timers.boot == 75  # for a boot, for a place, for the end of a quarantine
    assert timers.keep_alive == 90
    assert timers.drain == 30


def test_the_sizes_are_herokus_to_the_byte():
    assert (heads.LINE, heads.NAME, heads.COUNT) == (8_192, 1_000, 1_000)
    assert heads.RESPONSE_LINE == 512 * 1024
    assert server.RESPONSE_BUFFER == 1024 * 1024
    assert balance.TRIES == 10


def test_what_is_settable_begins_with_what_heroku_has():
    settings = Settings()
    assert (settings.router_in_flight, settings.router_backlog) == (50, 50)
    assert (settings.router_idle_timeout, settings.router_keep_alive) == (Timers().idle, Timers().keep_alive)
