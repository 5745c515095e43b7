"""A control plane without any privilege: all that a person does with an app, and one that takes over from a control plane that was root.

As systemd/dynod.service has it, with numbers for users: every program is root but `dynod serve`, whose bounding set is empty.
"""

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest
from support import services, whole

from dynod.host.handover import hand_over

pytestmark = pytest.mark.e2e("setpriv")

USER = 64_501
PROCFILE = "web: exec python3 -m http.server $PORT --directory www\nshy: sh shy\n"
SHY = "umask 077; mkdir /app/own; echo secret > /app/own/file; sleep 1; exit 3\n"


class Unprivileged(services.Served):
    """`root`: so is its control plane, until `leave_root`."""

    root = False

    def _listen(self, unit):
        sock = super()._listen(unit)
        if not services.value(unit, "ListenStream").startswith("/"):
            return sock
        os.chown(sock.getsockname(), USER, -1)
        return sock

    def as_whom(self, unit, argv):
        if unit in ("dyno-host", "dyno-net"):
            who = ["--socket-group", "nogroup"] if unit == "dyno-host" else []
            return [*super().as_whom(unit, argv), "--operator", str(USER), *who]
        if unit != "dynod" or self.root:
            return argv
        self._own()
        os.chmod(f"{self.base}/notify", 0o777)  # as systemd's is
        dropped = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--groups=nogroup", "--no-new-privs"]
        return [*dropped, "--inh-caps=-all", "--bounding-set=-all", "--", *argv]

    def _own(self):
        """What tmpfiles.conf says of the directories."""
        rows = [line.split() for line in (services.UNITS / "tmpfiles.conf").read_text().splitlines()]
        for row in rows:
            if row[0][0] not in "dL" or "/logs" in row[1]:
                continue
            path = Path(row[1].replace("/run/dynod", self.run).replace("/var/lib/dynod", self.state))
            if row[0] == "d":
                path.mkdir(exist_ok=True)
                owner, group = (USER if name == "dynod" else 0 for name in row[3:5])
                os.chown(path, owner, group)
                path.chmod(int(row[2], 8))
            elif not path.is_symlink():
                path.unlink(missing_ok=True)
                path.symlink_to(row[6])

    def leave_root(self, *, idle):
        self.end("dynod")
        self.root = False
        self._own()
        done = hand_over(self.state, USER, USER, idle=idle)
        self.begin("dynod")
        return done

    def back_to_root(self):
        """As an older version's install: its tmpfiles.conf knows no sticky STATE, in which root may not write others' files either."""
        self.end("dynod")
        self.root = True
        os.chmod(self.state, 0o755)
        self.begin("dynod")

    def privileges(self):
        pid = self._programs["dynod"].pid
        status = Path(f"/proc/{pid}/status").read_text()
        return {int(uid) for uid in re.search(r"^Uid:(.*)$", status, re.MULTILINE)[1].split()}, {
            int(mask, 16) for mask in re.findall(r"^Cap\w+:\s+(\w+)$", status, re.MULTILINE)
        }

    def foreign(self):
        """What in STATE is not the control plane's, below what is its own by tmpfiles.conf."""
        found = []
        for top, directories, files in os.walk(self.state):
            for path in (f"{top}/{name}" for name in (*directories, *files)):
                name = os.path.relpath(path, self.state)
                with contextlib.suppress(FileNotFoundError):  # it tidies meanwhile
                    if name.split("/")[0] not in {"dynos", "logs"} and os.lstat(path).st_uid != USER:
                        found.append(name)
        return sorted(found)


def started(root):
    whole.need_others()
    # Others pass through here, as they may not below pytest's own.
    base = Path(tempfile.mkdtemp(prefix="unprivileged-"))
    base.chmod(0o755)
    source = services.checkout(base / "current", "0.0.1")
    kind = type("Began", (Unprivileged,), {"root": root})
    (base / "b").mkdir()
    return kind(base / "b", source)


@pytest.fixture
def served():
    made = started(root=False)
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(made.base.parent)


@pytest.fixture
def was_root():
    made = started(root=True)
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(made.base.parent)


def deployed(made, app):
    tree = made.clone("shell", app)
    (tree / "Procfile").write_text(PROCFILE)
    (tree / "shy").write_text(SHY)
    (tree / "bin").mkdir()
    made.commit(tree, "ours")
    made.push(tree)
    made.until(lambda: made.get(app)[0] == 200, app)
    return tree


def test_all_that_a_person_does_with_an_app(served):
    app = "lowly"
    assert served.privileges() == ({USER}, {0})
    tree = deployed(served, app)
    served.dyno("config:set", "WORD=told", "-a", app)
    assert served.dyno("run", "-a", app, "--", "echo $WORD; id -u").stdout.split()[0] == "told"
    (tree / "www/next").write_text("next")
    served.commit(tree, "next")
    served.push(tree)
    served.until(lambda: served.get(app, "/next") == (200, "next"), app)
    served.dyno("rollback", "-a", app)
    served.until(lambda: served.get(app, "/next")[0] == 404, app)
    served.dyno("ps:restart", "-a", app)
    served.until(lambda: served.get(app)[0] == 200, app)
    assert "beside" in served.dyno("ps:exec", "-a", app, "--", "echo beside").stdout
    served.dyno("ps:scale", "shy=1", "-a", app)
    served.until(lambda: any("shy.1" in line for line in autopsies(served, app)), app)
    assert "/app/own/file" in "\n".join(autopsies(served, app))
    assert served.foreign() == []
    served.dyno("apps:destroy", app, "--confirm", app)


def test_one_that_takes_over_from_root_ends_no_dyno_and_gets_all_of_it_in_the_end(was_root):
    app = "elder"
    deployed(was_root, "still")  # whose dyno stands on the first stack all the while
    tree = deployed(was_root, app)
    before = [row["id"] for row in was_root.json("ps", "-a", app)]
    assert was_root.privileges()[0] == {0}

    assert not was_root.leave_root(idle=False)
    assert was_root.privileges() == ({USER}, {0})
    assert [row["id"] for row in was_root.json("ps", "-a", app)] == before
    assert was_root.get(app)[0] == 200
    trees = [path.split("/")[0] for path in was_root.foreign() if path.count("/") == 1]
    assert trees.count("stack") == 1
    assert trees.count("slugs") in {2, 3}  # the apps', and that of nothing until it is tidied away
    assert all(path.split("/")[0] in {"slugs", "stack"} for path in was_root.foreign())

    (tree / "www/next").write_text("next")
    was_root.commit(tree, "next")
    was_root.push(tree)
    was_root.until(lambda: was_root.get(app, "/next") == (200, "next"), app)
    was_root.dyno("rollback", "-a", app)
    was_root.until(lambda: was_root.get(app, "/next")[0] == 404, app)

    assert was_root.dyno("ps:exec", "-a", "still", "--", "grep -c dyno /etc/group").stdout.strip() != "0"
    was_root.dyno("apps:destroy", "still", "--confirm", "still")

    assert was_root.leave_root(idle=True)  # as at the next start of the machine
    assert was_root.foreign() == []
    was_root.dyno("ps:restart", "-a", app)
    was_root.until(lambda: was_root.get(app)[0] == 200, app)

    before = [row["id"] for row in was_root.json("ps", "-a", app)]
    was_root.back_to_root()
    assert [row["id"] for row in was_root.json("ps", "-a", app)] == before
    assert was_root.get(app)[0] == 200
    was_root.commit(tree, "back")
    was_root.push(tree)
    was_root.until(lambda: was_root.get(app, "/next") == (200, "next"), app)


def autopsies(made, app):
    done = made.dyno("autopsy", "shy.1", "-a", app, check=False)
    return done.stdout.splitlines()
