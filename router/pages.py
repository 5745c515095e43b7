"""What the client reads when the router answers itself: tiny HTML like Heroku's, or the app's own page in an iframe."""

import time
from functools import cache

from router.reasons import Failure, Page, phrase

# html.escape's, without the two thousand entities that come with it.
_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})
_STYLE = (
    "html{font-family:sans-serif;height:100%;background:#f7f8fb;color:#3f3f44}"
    "body{display:flex;min-height:90%;align-items:center;justify-content:center;text-align:center}"
    "main{max-width:36em;padding:2em}p{line-height:1.5}"
)

_TEXTS = {
    Page.ERROR: (
        "Application Error",
        "Application error",
        "An error occurred in the application and your page could not be served. If you are the application owner, check your logs for details. You can do this with the command <code>dyno logs --tail</code>.",
    ),
    Page.MAINTENANCE: (
        "Offline for Maintenance",
        "Offline for Maintenance",
        "This application is undergoing maintenance right now. Please check back later.",
    ),
    Page.NO_APP: (
        "No such app",
        "There's nothing here, yet.",
        "There is no app configured at that hostname. If you are the application owner, check its name and domains.",
    ),
    Page.BLANK: (
        "Welcome to your new app!",
        "Welcome to your new app!",
        "Nothing was deployed to this app yet: <code>git push</code> puts something here.",
    ),
}


def http_date(at: float) -> str:
    """Write seconds since the epoch as HTTP does (RFC 9110 5.6.7). email.utils would, with half a MiB of what belongs to mail."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(at))  # no program of ours calls setlocale


@cache
def _own(page: Page, status: int) -> bytes:
    if page is Page.PLAIN:
        return f"<html><head><title>{status}</title></head><body><h1>{status} {phrase(status)}</h1></body></html>\n".encode()
    title, heading, text = _TEXTS[page]
    return (
        '<!DOCTYPE html>\n<html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{heading}</h1><p>{text}</p></main></body></html>\n"
    ).encode()


def _framed(title: str, url: str) -> bytes:
    return (
        '<!DOCTYPE html>\n<html><head><meta name="viewport" content="width=device-width, initial-scale=1">'
        '<style type="text/css">html, body, iframe { margin: 0; padding: 0; height: 100%; }'
        "iframe { display: block; width: 100%; border: none; }</style>"
        f'<title>{title}</title></head><body><iframe src="{url.translate(_ESCAPED)}"></iframe></body></html>\n'
    ).encode()


def page(failure: Failure, *, error_page: str = "", maintenance_page: str = "") -> bytes:
    """Make the body; the app's own pages are shown where they apply."""
    reason = failure.value
    url = {Page.ERROR: error_page, Page.MAINTENANCE: maintenance_page}.get(reason.page, "")
    if url:
        return _framed(_TEXTS[reason.page][0], url)
    return _own(reason.page, reason.status)


def answer(failure: Failure, body: bytes, *, date: str, keep: bool, head_only: bool) -> bytes:
    """Make the whole response. `date` in HTTP's form."""
    status = failure.value.status
    head = (
        f"HTTP/1.1 {status} {phrase(status)}\r\nConnection: {'keep-alive' if keep else 'close'}\r\nServer: Heroku\r\nDate: {date}\r\n"
        f"Content-Length: {len(body)}\r\nContent-Type: text/html; charset=utf-8\r\nCache-Control: no-cache, no-store\r\n"
        "Via: 1.1 heroku-router\r\n\r\n"
    ).encode()
    return head if head_only else head + body
