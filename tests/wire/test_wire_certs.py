"""Certificates as bytes: there and back, and what is no table of them."""

import msgpack
import pytest

from dynod.model.certs import CertTable, Served
from dynod.wire import certs
from dynod.wire.table import BadTable

TABLE = CertTable(3, (Served("c", "k"), Served("d", "l")), {"a.test": 0, "*.b.test": 1}, {"t": "t.p"})


def test_there_and_back():
    assert certs.decode(certs.encode(TABLE)) == TABLE
    assert certs.decode(certs.encode(CertTable())) == CertTable()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        certs.encode(TABLE)[:-1],
        certs.encode(TABLE) + b"x",
        *map(
            msgpack.packb,
            (
                1,
                [2, 1, [], {}, {}],
                [1, "1", [], {}, {}],
                [1, 1, [], [], {}],
                [1, 1, [], {}, 0],
                [1, 1, [["c"]], {}, {}],
                [1, 1, [["c", "k"]], {"a": 1}, {}],
                [1, 1, [["c", "k"]], {"a": "0"}, {}],
            ),
        ),
    ],
)
def test_what_is_no_table_is_told_so(data):
    with pytest.raises(BadTable):
        certs.decode(data)
