"""The key that seals URLs: made once, found again, and never one that anybody knows."""

import pytest

from dynod.api.server import seal_key


@pytest.fixture
def kept(tmp_path):
    (tmp_path / "secrets").mkdir()
    return tmp_path / "secrets/seal.key"


def test_the_key_of_the_first_start_is_the_key_of_every_start(kept, tmp_path):
    made = seal_key(str(tmp_path))
    assert len(made) == 32
    assert seal_key(str(tmp_path)) == kept.read_bytes() == made
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]
    assert kept.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("left", [b"", b"short"])
def test_a_key_that_a_power_cut_left_empty_seals_nothing(kept, tmp_path, left):
    kept.write_bytes(left)
    made = seal_key(str(tmp_path))
    assert len(made) == 32
    assert kept.read_bytes() == made
