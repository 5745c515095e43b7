"""Tokens out of `Authorization`: Bearer as API clients send it, or Basic with the token as password (git, netrc, `login -i`)."""

import base64
import binascii
import grp
import os
import pwd

from dynod.engine.platform import Platform
from dynod.model.app import Account
from dynod.model.refused import Refusal, Refused

GROUP = "dynod"


def token(header: str | None) -> str:
    """Return the token that the header carries; raise Refused(UNAUTHORIZED) when it carries none."""
    scheme, _, rest = (header or "").strip().partition(" ")
    found = ""
    if scheme.lower() == "bearer":
        found = rest.strip()
    elif scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            user = password = ""
        found = password or user  # `curl -u TOKEN:` is an old habit
    if not found:
        raise Refused(Refusal.UNAUTHORIZED, "cannot tell who you are: send your token (`dyno env` prints it)")
    return found


def _groups(uid: int, gid: int) -> set[str]:
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        ids = [gid]
    else:
        ids = os.getgrouplist(name, gid)
    names = set()
    for one in ids:
        try:
            names.add(grp.getgrgid(one).gr_name)
        except KeyError:
            continue
    return names


def peer(platform: Platform, uid: int, gid: int) -> Account:
    """Return who came over the unix socket: root, our own user and members of group `dynod` are the machine's owner."""
    if uid in {0, os.geteuid()} or GROUP in _groups(uid, gid):
        return platform.owner()
    raise Refused(
        Refusal.FORBIDDEN,
        f"cannot let uid {uid} in: only root and members of the group {GROUP} administer this machine",
    )
