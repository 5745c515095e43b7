"""What a person asked for and cannot have: the one family of errors that becomes a 4xx answer or exit status 1.

Anything else that is raised is a bug of ours. Ids and statuses: HEROKU.md section 0, row "Error body".
"""

import errno
from enum import Enum


class Refusal(Enum):
    """Error id of the Platform API and its HTTP status."""

    BAD_REQUEST = ("bad_request", 400)
    UNAUTHORIZED = ("unauthorized", 401)
    FORBIDDEN = ("forbidden", 403)
    NOT_FOUND = ("not_found", 404)
    CONFLICT = ("conflict", 409)
    GONE = ("gone", 410)
    RANGE = ("requested_range_not_satisfiable", 416)
    INVALID = ("invalid_params", 422)
    UNAVAILABLE = ("service_unavailable", 503)

    def __init__(self, id_: str, status: int) -> None:
        self.id = id_
        self.status = status

    @classmethod
    def named(cls, id_: str) -> "Refusal | None":
        """The refusal that this id stands for, None if it is none of ours: who said it then has a bug."""
        return next((each for each in cls if each.id == id_), None)


class Refused(Exception):  # a refusal is an answer, not a fault
    """`Refused(Refusal.NOT_FOUND, "cannot find app demo; ...")`: lower case, what could not be done, the way out."""

    def __init__(self, refusal: Refusal, message: str) -> None:
        super().__init__(message)
        self.refusal = refusal
        self.message = message


DISK_FULL = "the disk is full; make room and try again"
DISK_ERRS = (
    "the disk answers with an error; dmesg may say which, and dynod must be started again once it is whole"
)
_FAULTS = {
    errno.ENOSPC: DISK_FULL,
    errno.EDQUOT: DISK_FULL,
    errno.EIO: DISK_ERRS,
    errno.EROFS: DISK_ERRS,  # file systems make themselves so after an error
}


def disk_fault(error: BaseException) -> str:
    """Say what is wrong with the disk that would not take something; '' where the error is nothing of a disk's."""
    return _FAULTS.get(error.errno or 0, "") if isinstance(error, OSError) else ""


def disk_refusal(error: BaseException) -> Refused | None:
    """Make an answer of it: what a person can mend is no bug."""
    fault = disk_fault(error)
    if not fault:
        return None
    file = getattr(error, "filename", None)
    return Refused(Refusal.UNAVAILABLE, f"cannot {f'write {file}' if file else 'do that'}: {fault}")
