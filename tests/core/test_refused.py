"""What a disk answers becomes words that a person can act on; nothing else does."""

import errno

import pytest

from dynod.model.refused import DISK_ERRS, DISK_FULL, Refusal, Refused, disk_fault, disk_refusal


@pytest.mark.parametrize("refusal", Refusal)
def test_a_refusal_is_known_by_the_id_it_is_sent_with(refusal):
    assert Refusal.named(refusal.id) is refusal


def test_another_id_is_no_refusal():
    assert Refusal.named("internal") is None


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, DISK_FULL),
        (errno.EDQUOT, DISK_FULL),
        (errno.EIO, DISK_ERRS),
        (errno.EROFS, DISK_ERRS),
        (errno.EACCES, ""),
        (None, ""),
    ],
)
def test_a_disk_s_errors_have_words(number, words):
    assert disk_fault(OSError(number, "x") if number else OSError("x")) == words


def test_what_names_a_file_is_refused_by_its_name():
    refused = disk_refusal(OSError(errno.ENOSPC, "x", "/srv/a"))
    assert refused.refusal is Refusal.UNAVAILABLE
    assert refused.message == "cannot write /srv/a: the disk is full; make room and try again"
    assert disk_refusal(OSError(errno.EIO, "x")).message.startswith(
        "cannot do that: the disk answers with an error"
    )


def test_what_is_no_disk_s_stays_what_it_is():
    assert disk_refusal(OSError(errno.ENOENT, "x")) is None
    assert disk_refusal(ValueError("x")) is None
    assert disk_refusal(Refused(Refusal.GONE, "x")) is None
