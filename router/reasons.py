"""Everything that can go wrong with a request: one table, reason -> code, status, words, page, blame (HEROKU.md 4.5, 4.7).

No other module writes a status or an H-code of its own. Rows that nothing here triggers yet stand ready for it.
"""

from enum import Enum, StrEnum
from http import HTTPStatus
from typing import NamedTuple


class Blame(StrEnum):
    CLIENT = "client"
    DYNO = "dyno"
    NOBODY = ""


class Page(StrEnum):
    """Which page the client sees: an app may have its own for ERROR and MAINTENANCE."""

    ERROR = "error"
    MAINTENANCE = "maintenance"
    NO_APP = "no_app"
    BLANK = "blank"
    PLAIN = "plain"


class Reason(NamedTuple):
    """`at`, `sock`, `code`, `desc` are the access line's words. No `code`: the request is not in any app's log."""

    status: int
    code: str = ""
    desc: str = ""
    at: str = "error"
    sock: str = ""
    page: Page = Page.ERROR
    blame: Blame = Blame.NOBODY
    cause: str = ""


class Failure(Enum):
    """Named by code where there is one."""

    NO_SUCH_APP = Reason(404, page=Page.NO_APP)
    BAD_REQUEST = Reason(400, page=Page.PLAIN, blame=Blame.CLIENT)
    NO_TABLE = Reason(503)  # this router never saw a routing table
    H10 = Reason(503, "H10", "App crashed")
    H11 = Reason(503, "H11", "Backlog too deep")
    H12 = Reason(503, "H12", "Request timeout", blame=Blame.DYNO)
    H13 = Reason(503, "H13", "Connection closed without response", blame=Blame.DYNO)
    H14 = Reason(503, "H14", "No web processes running")
    H15 = Reason(503, "H15", "Idle connection", blame=Blame.DYNO)
    H16 = Reason(301, "H16", "Redirect to herokuapp.com", at="info")
    H17 = Reason(503, "H17", "Poorly formatted HTTP response", blame=Blame.DYNO)
    H17_BODY = Reason(502, "H17", "Poorly formatted HTTP response", blame=Blame.DYNO)
    H18 = Reason(503, "H18", "Server Request Interrupted", sock="backend", blame=Blame.DYNO)
    H19 = Reason(503, "H19", "Backend connection timeout", blame=Blame.DYNO)
    H20 = Reason(503, "H20", "App boot timeout")
    H21 = Reason(503, "H21", "Backend connection refused", blame=Blame.DYNO)
    H22 = Reason(503, "H22", "Connection limit reached")
    H23 = Reason(503, "H23", "Endpoint misconfigured")
    H24 = Reason(503, "H24", "Forced close")
    H25_LENGTH = Reason(502, "H25", "HTTP restriction: invalid content length", blame=Blame.DYNO)
    H25_COOKIE = Reason(502, "H25", "HTTP restriction: oversized cookie", blame=Blame.DYNO)
    H25_HEADER = Reason(502, "H25", "HTTP restriction: oversized header", blame=Blame.DYNO)
    H25_STATUS = Reason(502, "H25", "HTTP restriction: oversized status line", blame=Blame.DYNO)
    H26_EXPECT = Reason(
        417,
        "H26",
        "Request Error",
        page=Page.PLAIN,
        blame=Blame.CLIENT,
        cause="unsupported expect header value",
    )
    H26_HEADER = Reason(400, "H26", "Request Error", page=Page.PLAIN, blame=Blame.CLIENT, cause="bad header")
    H26_CHUNK = Reason(400, "H26", "Request Error", page=Page.PLAIN, blame=Blame.CLIENT, cause="bad chunk")
    H27 = Reason(499, "H27", "Client Request Interrupted", "warning", "client", Page.PLAIN, Blame.CLIENT)
    H28 = Reason(499, "H28", "Client Connection Idle", "warning", page=Page.PLAIN, blame=Blame.CLIENT)
    H31 = Reason(421, "H31", "Misdirected Request", page=Page.PLAIN, blame=Blame.CLIENT)
    H32 = Reason(495, "H32", "TLS Certificate Mismatch", page=Page.PLAIN, blame=Blame.CLIENT)
    H33 = Reason(503, "H33", "HTTP/2 stream broken", page=Page.PLAIN, blame=Blame.CLIENT)
    H34 = Reason(503, "H34", "All backends quarantined", blame=Blame.DYNO)
    H80 = Reason(503, "H80", "Maintenance mode", at="info", page=Page.MAINTENANCE)
    H81 = Reason(502, "H81", "Blank app", at="info", page=Page.BLANK)
    H82 = Reason(503, "H82", "You've used up your dyno hour pool", at="info")
    H83 = Reason(503, "H83", "Planned Service Degradation", at="info")
    H99 = Reason(503, "H99", "Platform error")


def lost(error: Exception | None) -> Failure | None:
    """Say what the end of a connection is told as, if it is neither side's: an error that is no socket's is a bug of ours."""
    return None if error is None or isinstance(error, OSError) else Failure.H99


_PHRASES = {495: "SSL Certificate Error", 499: "Client Closed Request"}


def phrase(status: int) -> str:
    """The words behind a status of ours."""
    return _PHRASES.get(status) or HTTPStatus(status).phrase


class ClientFault(Exception):
    """What the client sent cannot be forwarded; it is told `failure`, and `why` for a person."""

    def __init__(self, why: str, failure: Failure = Failure.BAD_REQUEST) -> None:
        super().__init__(why)
        self.failure = failure


class DynoFault(Exception):
    """What the dyno sent cannot be forwarded."""

    def __init__(self, why: str, failure: Failure = Failure.H17) -> None:
        super().__init__(why)
        self.failure = failure
