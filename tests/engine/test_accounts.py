"""The machine's token: made once, found again, and never the empty word."""

import pytest

from dynod.engine.accounts import Accounts
from dynod.model.refused import Refused


def test_the_token_of_the_first_start_is_the_token_of_every_start(tmp_path):
    made = Accounts(str(tmp_path), "me@localhost")
    assert Accounts(str(tmp_path), "me@localhost").token == made.token
    assert [path.name for path in tmp_path.iterdir()] == ["token"]
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("left", ["", "\n"])
def test_an_empty_token_that_a_power_cut_left_lets_nobody_in(tmp_path, left):
    (tmp_path / "token").write_text(left)
    accounts = Accounts(str(tmp_path), "me@localhost")
    assert len(accounts.token) == 36
    with pytest.raises(Refused, match="Invalid credentials"):
        accounts.account("")
