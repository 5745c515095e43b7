"""`platform`: one whole `dynod up` per module, stopped at its end; nothing may be left of it."""

import pytest
from support import whole


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    """A running platform (support.whole.Whole)."""
    base = tmp_path_factory.mktemp("w")
    base.chmod(0o755)  # dynos' users pass through
    made = whole.start(base)
    yield made
    assert made.stop() == 0
