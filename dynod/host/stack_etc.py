"""What a dyno finds outside of /app and /usr, as values: directories, links, and an /etc of which nothing is secret.

`gather` reads the machine (below `root`, which tests set) and answers with what the skeleton is to hold; stack.py writes it down. Three
guards keep secrets out: /etc is a list of what programs need, never a copy of all; of the list only what every user of the
machine may read is taken; and lines with a password or token are left out of pip.conf and npmrc, with a note that says so.
"""

import glob
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dynod.model.resolver import CANDIDATES, dyno_resolver

_DIRECTORIES = """
app dev etc etc/profile.d home media mnt opt proc root run srv sys tmp usr
var var/cache var/lib var/log var/tmp
"""
DIRECTORIES = tuple(_DIRECTORIES.split())
STICKY = frozenset({"tmp", "var/tmp"})
# Links into /usr, or real directories on older machines.
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# Patterns below /etc. Each is there because programs of /usr read it; what holds credentials by nature is not.
_PATTERNS = """
alternatives ld.so.cache ld.so.conf ld.so.conf.d localtime timezone os-release lsb-release
debian_version protocols services rpc networks ethertypes mime.types magic magic.mime
gai.conf host.conf shells inputrc terminfo locale.alias wgetrc nanorc vim fonts
python3 python3.* perl php java-* ImageMagick-* odbcinst.ini freetds ca-certificates.conf
ssl/openssl.cnf crypto-policies
"""
COPIED = tuple(_PATTERNS.split())
FILTERED = ("pip.conf", "npmrc")
CERTIFICATES = "ssl/certs"
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
TREE_LIMIT = 8 * 1024**2  # of one pattern; more than that is data, not configuration

_SECRET = re.compile(r"(?i)(_auth|authtoken|password|passwd|secret|username|token)\s*=|://[^/\s]*@")

PROFILE = """\
# The shell of a dyno; buildpacks add theirs in /app/.profile.d.
for file in /etc/profile.d/*.sh; do [ -r "$file" ] && . "$file"; done; unset file
[ -n "${PS1-}" ] && [ -n "${BASH-}" ] && . /etc/bash.bashrc
:
"""
BASHRC = """\
[ -z "${PS1-}" ] && return
shopt -s checkwinsize
PS1='\\[\\033[01;34m\\]\\w\\[\\033[00m\\] \\[\\033[01;32m\\]$ \\[\\033[00m\\]'
"""
HOSTS = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
_NOLOGIN = "/usr/sbin/nologin"
ACCOUNTS = (
    ("root", 0, "/root", "/bin/bash"),
    ("daemon", 1, "/usr/sbin", _NOLOGIN),
    ("bin", 2, "/bin", _NOLOGIN),
    ("sys", 3, "/dev", _NOLOGIN),
    ("mail", 8, "/var/mail", _NOLOGIN),
    ("www-data", 33, "/var/www", _NOLOGIN),
    ("nobody", 65534, "/nonexistent", _NOLOGIN),
)
GROUPS = (
    *(("root", 0), ("daemon", 1), ("bin", 2), ("sys", 3), ("tty", 5), ("mail", 8)),
    *(("www-data", 33), ("nogroup", 65534)),
)


@dataclass(frozen=True, slots=True)
class File:
    data: bytes
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Link:
    target: str


@dataclass(frozen=True, slots=True)
class Directory:
    mode: int = 0o755


Item = File | Link | Directory


@dataclass(frozen=True, slots=True)
class Gathered:
    """`items` by path without a leading slash; `notes`: sentences about what a person may miss; `binds`: directories to show."""

    name: str
    items: Mapping[str, Item]
    binds: tuple[str, ...]
    notes: tuple[str, ...]


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def stack_name(os_release: str) -> str:
    """`debian-12`, from the text of os-release(5)."""
    fields = dict(line.partition("=")[::2] for line in os_release.splitlines() if "=" in line)
    words = (fields.get("ID", "linux"), fields.get("VERSION_ID") or fields.get("VERSION_CODENAME", ""))
    return "-".join(cleaned for word in words if (cleaned := re.sub(r"[^a-z0-9.]", "", word.lower())))


def accounts(uids: range) -> tuple[str, str]:
    """Write passwd and group: each uid of the range is a user `u<uid>` of group dyno, at home in /app (HEROKU.md 1.4)."""
    passwd = [f"{name}:x:{uid}:{uid}:{name}:{home}:{shell}\n" for name, uid, home, shell in ACCOUNTS]
    group = [f"{name}:x:{gid}:\n" for name, gid in GROUPS]
    passwd += [f"u{uid}:x:{uid}:{uid}:dyno:/app:/bin/bash\n" for uid in uids]
    group += [f"dyno:x:{uid}:\n" for uid in uids]
    return "".join(passwd), "".join(group)


def gather(root: str, uids: range) -> Gathered:
    """Read the machine; `root` is '' but in tests."""
    items: dict[str, Item] = {path: Directory(0o1777 if path in STICKY else 0o755) for path in DIRECTORIES}
    notes: list[str] = []
    binds = ["/usr"]
    for name in MERGED:
        path = f"{root}/{name}"
        if os.path.islink(path):
            items[name] = Link(os.readlink(path))
        elif os.path.isdir(path):
            items[name] = Directory()
            binds.append(f"/{name}")
    for pattern in COPIED:
        for path in sorted(glob.glob(f"{root}/etc/{pattern}")):
            items |= _copied(root, path, notes)
    items |= _certificates(root)
    for name in FILTERED:
        if text := _readable(root, f"{root}/etc/{name}"):
            kept = [line for line in text.decode(errors="replace").splitlines() if not _SECRET.search(line)]
            items[f"etc/{name}"] = File("".join(f"{line}\n" for line in kept).encode())
            if len(kept) < len(text.splitlines()):
                notes.append(f"left out of the dynos' /etc/{name}: lines with a password or token")
    items |= _written(root, uids, notes)
    return Gathered(stack_name(_read(f"{root}/etc/os-release")), items, tuple(binds), tuple(notes))


def _written(root: str, uids: range, notes: list[str]) -> dict[str, Item]:
    """The part of /etc that is ours to say."""
    resolver = dyno_resolver(_read(f"{root}{path}") for path in CANDIDATES)
    if not resolver.nameservers:
        notes.append(
            "dynos cannot look up names: every name server of this machine is on its loopback and none behind it is known; "
            "name one in /etc/resolv.conf that dynos can reach"
        )
    passwd, group = accounts(uids)
    myhostname = glob.glob(f"{root}/usr/lib/*/libnss_myhostname.so.2") or glob.glob(
        f"{root}/usr/lib/libnss_myhostname.so.2"
    )
    hosts = "files myhostname dns" if myhostname else "files dns"
    nsswitch = f"passwd: files\ngroup: files\nshadow: files\nhosts: {hosts}\nnetworks: files\nprotocols: files\nservices: files\n"
    texts = {
        "passwd": passwd,
        "group": group,
        "hosts": HOSTS,
        "resolv.conf": resolver.text(),
        "nsswitch.conf": nsswitch,
        "profile": PROFILE,
        "bash.bashrc": BASHRC,
    }
    written: dict[str, Item] = {f"etc/{name}": File(text.encode()) for name, text in texts.items()}
    return {
        **written,
        "etc/mtab": Link("/proc/mounts"),
        "etc/ssl": Directory(),
        "etc/ssl/cert.pem": Link(CA_BUNDLE),
    }


def _readable(root: str, path: str) -> bytes | None:
    """Read a regular file that everybody on the machine may read; `root` is where absolute links begin."""
    try:
        real = _resolve(root, path)
        found = os.stat(real)
        if not stat.S_ISREG(found.st_mode) or not found.st_mode & stat.S_IROTH:
            return None
        with open(real, "rb") as file:
            return file.read()
    except OSError:
        return None


def _resolve(root: str, path: str) -> str:
    """Follow links as a process with `root` as its root directory would (tests have a root of their own)."""
    for _ in range(20):
        if not os.path.islink(path):
            return path
        path = _target(root, path)
    return path


def _target(root: str, link: str) -> str:
    target = os.readlink(link)
    if target.startswith("/"):
        return root + target
    return os.path.normpath(os.path.join(os.path.dirname(link), target))


def _walk(path: str) -> Iterator[str]:
    """Yield a file, or a directory and all that is in it, as far as everybody may look."""
    yield path
    if os.path.isdir(path) and not os.path.islink(path):
        for name in sorted(os.listdir(path)) if os.stat(path).st_mode & 0o005 == 0o005 else ():
            yield from _walk(f"{path}/{name}")


def _copied(root: str, top: str, notes: list[str]) -> dict[str, Item]:
    """A file or tree of /etc: links into /etc and /usr stay links, others become what they lead to."""
    items: dict[str, Item] = {}
    size = 0
    for path in _walk(top):
        name = os.path.relpath(path, root or "/")
        if os.path.islink(path):
            target = os.path.relpath(_target(root, path), root or "/")
            if target.startswith(("etc/", "usr/")):
                items[name] = Link(os.readlink(path))
                continue
        elif os.path.isdir(path):
            items[name] = Directory()
            continue
        if (data := _readable(root, path)) is not None:
            size += len(data)
            items[name] = File(data, 0o755 if os.stat(_resolve(root, path)).st_mode & 0o001 else 0o644)
    if size > TREE_LIMIT:
        notes.append(f"left out of the dynos' /etc: {os.path.basename(top)}, which has {size} bytes")
        return {}
    return items


def _certificates(root: str) -> dict[str, Item]:
    """All of /etc/ssl/certs, locally added authorities included; what lies elsewhere is copied to here."""
    top = f"{root}/etc/{CERTIFICATES}"
    items: dict[str, Item] = {}
    for path in _walk(top) if os.path.isdir(top) else ():
        name = os.path.relpath(path, root or "/")
        if os.path.islink(path) and _target(root, path).startswith(f"{top}/"):
            items[name] = Link(os.readlink(path))
        elif os.path.isdir(path):
            items[name] = Directory()
        elif (data := _readable(root, path)) is not None and b"PRIVATE KEY" not in data:
            items[name] = File(data)
    return items
