"""The lab's disk: Debian 12 with systemd, what dynod needs, and wheels of its Python packages, so that the guest needs no network.

`base(cache)` returns a kernel, an initial ram disk and an ext4 image, built once and kept under a name that is the digest of the
recipe. Rejected: a cloud image (its first boot takes minutes without KVM) and an installer (nobody is there to answer).
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SIZE = "6G"
NEEDED = (
    "mmdebstrap",
    "mke2fs",
    "qemu-img",
    "qemu-system-x86_64",
    "unshare",
)  # of mmdebstrap, e2fsprogs, qemu-utils, qemu-system-x86
PACKAGES = (
    *("linux-image-amd64", "systemd-sysv", "dbus", "udev", "kmod", "initramfs-tools", "libpam-systemd"),
    *("python3", "python3-venv", "python3-dev", "gcc", "libc6-dev", "libcap-dev", "libseccomp2", "make"),
    *(
        "git",
        "nftables",
        "iproute2",
        "procps",
        "ca-certificates",
        "curl",
        "util-linux",
        "e2fsprogs",
        "dmsetup",
    ),
    *("nodejs", "sqlite3", "openssh-server", "sudo", "strace"),
    *("xfsprogs", "psmisc", "rsync"),  # for project quotas, for who holds a disk, and for Vagrant's folders
)
TESTS = ("pytest", "pytest-timeout", "hypothesis", "h11")
MASKED = (
    *(
        "apt-daily.timer",
        "apt-daily-upgrade.timer",
        "dpkg-db-backup.timer",
        "e2scrub_all.timer",
        "fstrim.timer",
    ),
    *("e2scrub_reap.service", "systemd-pstore.service", "getty@tty1.service", "ssh.service"),
)
FILES = {
    "etc/hostname": "lab\n",
    "etc/hosts": "127.0.0.1 localhost lab\n::1 localhost\n",
    "etc/fstab": (
        "/dev/vda / ext4 errors=remount-ro 0 1\n"
        "tree /srv/dynod 9p trans=virtio,version=9p2000.L,ro,msize=524288,nofail 0 0\n"
        "out /srv/out 9p trans=virtio,version=9p2000.L,rw,msize=524288,nofail 0 0\n"
    ),
    "etc/systemd/network/lab.network": (
        "[Match]\nName=en* eth*\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\nDNS=10.0.2.3\n"
    ),
    "etc/systemd/system/lab-agent.service": (
        "[Unit]\nDescription=the lab's way in\nRequiresMountsFor=/srv/dynod\nAfter=srv-dynod.mount\n"
        "[Service]\nExecStart=/usr/bin/python3 -m lab.agent\nWorkingDirectory=/srv/dynod\n"
        "Environment=PYTHONDONTWRITEBYTECODE=1\nRestart=always\nRestartSec=1\nOOMScoreAdjust=-1000\nKillMode=process\n"
        "[Install]\nWantedBy=multi-user.target\n"
    ),
    "etc/pip.conf": "[global]\nno-index = true\nfind-links = /opt/lab/wheels\ndisable-pip-version-check = true\n",
    "etc/default/locale": "LANG=C.UTF-8\n",
}
INITRD_HOOK = """#!/bin/sh
[ "$1" = prereqs ] && exit 0
. /usr/share/initramfs-tools/hook-functions
for module in virtio_pci virtio_blk ext4 9p 9pnet_virtio virtio_net virtio_console; do force_load $module; done
"""


class CannotBuild(Exception):
    """The image was not made; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Base:
    """Paths of what a machine starts from; nobody writes to them."""

    kernel: str
    initrd: str
    disk: str


def wanted() -> list[str]:
    """Return the Python packages that the guest must have: dynod's own, its build's, and those that tests need there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [*project["project"]["dependencies"], *project["build-system"]["requires"], "wheel", *TESTS]


def digest() -> str:
    """Name the recipe: what goes in, and which Python packages are asked for."""
    recipe = (SIZE, PACKAGES, MASKED, FILES, INITRD_HOOK, wanted())
    return hashlib.sha256(repr(recipe).encode()).hexdigest()[:12]


def base(cache: Path) -> Base:
    """Return the base image, built now if it is not there; raise CannotBuild."""
    home = cache / f"base-{digest()}"
    if not home.is_dir():
        missing = [name for name in NEEDED if shutil.which(name) is None]
        if missing:
            raise CannotBuild(
                f"cannot build the lab's image without {', '.join(missing)}: "
                "apt-get install mmdebstrap e2fsprogs qemu-system-x86 qemu-utils"
            )
        if os.geteuid() != 0:
            raise CannotBuild(
                "cannot build the lab's image as this user: it holds files of root; be root once"
            )
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="new-", dir=cache) as work:
            _build(Path(work))
            os.rename(f"{work}/made", home)
    return Base(str(home / "vmlinuz"), str(home / "initrd"), str(home / "disk.img"))


def _build(work: Path) -> None:
    tree, made = work / "tree", work / "made"
    made.mkdir()
    _debian(tree)
    _wheels(tree)
    _files(tree)
    for name in ("vmlinuz", "initrd"):
        newest = max((tree / "boot").glob(f"{name}*"))
        shutil.copy(newest, made / name)
    tool(
        "mke2fs",
        "-q",
        "-t",
        "ext4",
        "-E",
        "lazy_itable_init=1,lazy_journal_init=1",
        "-d",
        str(tree),
        f"{made}/disk.img",
        SIZE,
    )


def _debian(tree: Path) -> None:
    hook = tree.with_name("hook")
    hook.write_text(INITRD_HOOK)
    hook.chmod(0o755)
    tool(
        *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}"),
        "--essential-hook=mkdir -p $1/etc/initramfs-tools/conf.d $1/etc/initramfs-tools/hooks",
        "--essential-hook=printf 'MODULES=list\\nCOMPRESS=gzip\\n' >$1/etc/initramfs-tools/conf.d/lab",
        f"--essential-hook=copy-in {hook} /etc/initramfs-tools/hooks",
        *("bookworm", str(tree)),  # from the mirror that mmdebstrap knows by itself
    )


def _wheels(tree: Path) -> None:
    """Make the wheels with the guest's own Python, over this machine's network, and a virtual environment for the tests."""
    borrowed = {
        "etc/resolv.conf": "/etc/resolv.conf",
        "etc/ssl/certs/ca-certificates.crt": "/etc/ssl/certs/ca-certificates.crt",
    }
    kept = {name: (tree / name).read_bytes() if (tree / name).exists() else None for name in borrowed}
    for name, source in borrowed.items():
        shutil.copyfile(source, tree / name)
    words = " ".join(f"'{name}'" for name in wanted())
    script = f"""set -e
python3 -m venv /opt/lab/venv
/opt/lab/venv/bin/pip wheel -q --use-pep517 -w /opt/lab/wheels {words}
/opt/lab/venv/bin/pip install -q --no-index --find-links /opt/lab/wheels {words}
rm -rf /root/.cache"""
    inside = f'mount -t proc proc {tree}/proc && exec chroot {tree} /bin/sh -c "$SCRIPT"'
    tool(
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "sh",
        "-c",
        inside,
        SCRIPT=script,
        HOME="/root",
        PIP_FIND_LINKS="",
    )
    for name, content in kept.items():
        (tree / name).unlink()
        if content is not None:
            (tree / name).write_bytes(content)


def _files(tree: Path) -> None:
    for name, text in FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).unlink(missing_ok=True)
        (tree / name).write_text(text)
    (tree / "etc/resolv.conf").unlink(missing_ok=True)
    (tree / "etc/resolv.conf").write_text("nameserver 10.0.2.3\n")
    for place in ("srv/dynod", "srv/out"):
        (tree / place).mkdir(parents=True, exist_ok=True)
    for unit in MASKED:
        (tree / "etc/systemd/system" / unit).symlink_to("/dev/null")
    systemctl = ("systemctl", f"--root={tree}")
    tool(*systemctl, "enable", "systemd-networkd.service", "lab-agent.service")
    (tree / "etc/machine-id").write_text(hashlib.sha256(b"lab").hexdigest()[:32] + "\n")


def tool(*argv: str, **more: str) -> None:
    """Run one; `more` is its environment. Raise CannotBuild."""
    done = subprocess.run(argv, env={**os.environ, **more}, check=False)
    if done.returncode != 0:
        raise CannotBuild(f"cannot build the lab's image: {argv[0]} ended with {done.returncode}")
