"""Git remotes and credentials: after `dyno git:remote` a plain `git push heroku main` works, with nothing exported.

The repository's own configuration gets the certificate authority and a credential helper for this one host; the user's
global configuration is not touched.
"""

import os
import shlex
import subprocess
import sys

from dynod.cli import page
from dynod.cli.options import Usage
from dynod.cli.session import Session, git, remotes
from dynod.model.refused import Refusal, Refused


def _git(*argv: str) -> None:
    done = subprocess.run(["git", *argv], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(Refusal.INVALID, f"cannot set up the git remote: git said {done.stderr.strip()}")


def point_remote(session: Session, app: str, remote: str, *, quietly: bool = False) -> None:
    """Make or move a remote, and tell git how to trust this machine and who we are."""
    url = session.git_url(app)
    known = (git("remote") or "").split()
    _git("remote", "set-url" if remote in known else "add", remote, url)
    if ca := session.ready.get("ca"):
        _git("config", f"http.https://{session.git_host}/.sslCAInfo", str(ca))
        if os.environ.get("GIT_SSL_CAINFO", ca) != ca:
            page.warn('GIT_SSL_CAINFO wins over what git was told now: unset it, or eval "$(dyno env)"')
    helper = [
        sys.executable,
        "-P",
        "-m",
        "dynod.cli",
        "git:credentials",
        "--run",
        os.path.abspath(session.run),
    ]
    key = f"credential.https://{session.git_host}.helper"
    _git("config", "--replace-all", key, "")  # an empty one first: no other helper is asked for this host
    _git("config", "--add", key, f"!{shlex.join(helper)}")
    if not quietly:
        print(f"set git remote {remote} to {url}", file=sys.stderr)


def forget_remotes(session: Session, app: str, *, remove: bool) -> list[str]:
    """Find the remotes of this directory that point at an app, and remove them if asked."""
    names = [name for name, target in remotes(session.git_host).items() if target == app]
    if remove:
        for name in names:
            git("remote", "remove", name)
    return names


def remote(session: Session) -> None:
    """As `heroku git:remote`."""
    if git("rev-parse", "--git-dir") is None:
        raise Usage("cannot set a git remote: this directory is not in a git repository (git init makes one)")
    name = session.named_app() or os.environ.get("HEROKU_APP") or os.environ.get("DYNO_APP")
    if not name:
        raise Usage("cannot set a git remote: say which app with -a APP")
    app = session.call("apps.info", app=name)
    point_remote(session, str(app["name"]), session.given.text("remote", "heroku"))


def credentials(session: Session) -> None:
    """Answer gitcredentials(7): only for https at our own host; storing and erasing are no business of ours."""
    if session.given.words[0] != "get":
        return
    asked = dict(line.rstrip("\n").partition("=")[::2] for line in sys.stdin if "=" in line)
    token = session.ready.get("token")
    if token and asked.get("protocol") == "https" and asked.get("host") == session.git_host:
        print(f"username=heroku\npassword={token}")
