"""Records of dynos outlive the version of the host that wrote them, in both directions."""

import json

import pytest

from dynod.jail import records

FIRST = {  # as dynod 0.1.0 began to write it
    "id": "d1",
    "pid": 42,
    "started": 4711,
    "uid": 200_000,
    "stdio": "log",
    "scratch": "/s/dynos/d1",
    "cgroup": "d1",
    "labels": {"app": "a1"},
}


@pytest.mark.parametrize("more", [{}, {"from_a_later_version": {"deep": [1]}}])
def test_an_older_and_a_newer_record_are_read(tmp_path, more):
    (tmp_path / "record").write_text(json.dumps(FIRST | more))
    found = records.read_record(str(tmp_path))
    assert {name: getattr(found, name) for name in FIRST} == FIRST


@pytest.mark.parametrize("more", [{}, {"from_a_later_version": 1}])
def test_an_older_and_a_newer_end_are_read(tmp_path, more):
    (tmp_path / "ended").write_text(json.dumps({"status": 3, "oom": False, "peak": 9} | more))
    assert records.read_ended(str(tmp_path)) == records.Ended(3, False, 9)


@pytest.mark.parametrize("text", ["", "{", json.dumps({"id": "d1"})])
def test_half_a_record_is_none(tmp_path, text):
    (tmp_path / "d1").mkdir()
    (tmp_path / "d1/record").write_text(text)
    assert [record for _, record in records.all_records(str(tmp_path))] == [None]
