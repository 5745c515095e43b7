"""`joined`: a dyno host whose dynos are entered, one per module; `idle`: the id of a dyno of it that only waits."""

import pytest
from joining import joined_host


@pytest.fixture(scope="module")
def joined():
    with joined_host() as one:
        yield one


@pytest.fixture(scope="module")
def idle(joined):
    id, fds = joined.dyno()
    yield id
    joined.end(id, fds)
