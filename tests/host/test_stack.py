"""The dynos' root file system, from a machine made of files: what comes in, and above all what does not."""

import os
import stat

import pytest

from dynod.host.stack import build_stack, remove_unused
from dynod.host.stack_etc import CA_BUNDLE, accounts, stack_name

UIDS = range(200_000, 200_003)


class Machine:
    """A directory that looks like a Debian."""

    def __init__(self, root):
        self.root = str(root)
        for name in ("usr/bin", "usr/lib", "etc/ssl/certs", "etc/ssl/private", "var/lib/x"):
            os.makedirs(f"{self.root}/{name}")
        for name in ("bin", "lib"):
            os.symlink(f"usr/{name}", f"{self.root}/{name}")
        self.put("usr/lib/os-release", 'NAME="Debian"\nID=debian\nVERSION_ID="12"\n')
        os.symlink("../usr/lib/os-release", f"{self.root}/etc/os-release")
        self.put("etc/resolv.conf", "nameserver 10.0.0.53\n")
        self.put("etc/ssl/certs/ca-certificates.crt", "BUNDLE")

    def put(self, name, text="", mode=0o644):
        path = f"{self.root}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, mode)

    def link(self, name, target):
        os.makedirs(os.path.dirname(f"{self.root}/{name}"), exist_ok=True)
        os.symlink(target, f"{self.root}/{name}")


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path / "machine")


@pytest.fixture
def built(tmp_path, machine):
    def build():
        return build_stack(str(tmp_path / "state"), UIDS, machine.root)

    return build


def text(stack, name):
    with open(f"{stack.skeleton}/{name}") as file:
        return file.read()


def has(stack, name):
    return os.path.lexists(f"{stack.skeleton}/{name}")


def test_the_skeleton_has_the_places_that_programs_look_for(built):
    stack = built()
    assert stack.name == "debian-12"
    assert set(os.listdir(stack.skeleton)) >= {
        "app",
        "tmp",
        "proc",
        "dev",
        "run",
        "sys",
        "usr",
        "home",
        "root",
        "etc",
        "bin",
    }
    modes = {
        name: oct(stat.S_IMODE(os.stat(f"{stack.skeleton}/{name}").st_mode))
        for name in ("tmp", "var/tmp", "root", ".")
    }
    assert modes == {"tmp": "0o1777", "var/tmp": "0o1777", "root": "0o755", ".": "0o755"}
    assert os.readlink(f"{stack.skeleton}/bin") == "usr/bin"
    assert [bind.describe() for bind in stack.binds] == ["bind /usr at /usr (ro, nosuid, nodev)"]


def test_a_machine_whose_bin_is_a_directory_shows_that_too(built, machine):
    os.unlink(f"{machine.root}/bin")
    os.mkdir(f"{machine.root}/bin")
    stack = built()
    assert [bind.target for bind in stack.binds] == ["/usr", "/bin"]
    assert os.path.isdir(f"{stack.skeleton}/bin")


SECRETS = (
    *(
        "shadow",
        "gshadow",
        "shadow-",
        "passwd-",
        "machine-id",
        "ssh/ssh_host_rsa_key",
        "ssl/private/key.pem",
        "sudoers",
    ),
    *(
        "krb5.keytab",
        "gitconfig",
        "maven/settings.xml",
        "hostname",
        "fstab",
        "cron.d/job",
        "NetworkManager/x",
        "docker/key.json",
    ),
)


@pytest.mark.parametrize("name", SECRETS)
def test_what_is_not_on_the_list_stays_out_even_if_everybody_may_read_it(built, machine, name):
    machine.put(f"etc/{name}", "secret")
    assert not has(built(), f"etc/{name}")


def test_what_not_everybody_may_read_stays_out_even_if_it_is_on_the_list(built, machine):
    machine.put("etc/wgetrc", "password", mode=0o640)
    machine.put("etc/vim/local", "x")
    os.chmod(f"{machine.root}/etc/vim", 0o750)
    machine.put("etc/fonts/secret", "x", mode=0o600)
    machine.put("etc/fonts/fonts.conf", "x")
    stack = built()
    assert [
        has(stack, f"etc/{name}") for name in ("wgetrc", "vim/local", "fonts/secret", "fonts/fonts.conf")
    ] == [
        False,
        False,
        False,
        True,
    ]


def test_the_machine_s_own_accounts_are_not_shown(built, machine):
    machine.put("etc/passwd", "alice:x:1000:1000:Alice:/home/alice:/bin/bash\n")
    assert "alice" not in text(built(), "etc/passwd")


def test_every_dyno_uid_has_a_name_a_group_and_a_home():
    passwd, group = accounts(UIDS)
    assert "u200001:x:200001:200001:dyno:/app:/bin/bash\n" in passwd
    assert "dyno:x:200002:\n" in group
    uids = [line.split(":")[2] for line in passwd.splitlines()]
    assert len(uids) == len(set(uids))


def test_certificates_come_whole_with_those_that_lie_elsewhere(built, machine):
    machine.put("usr/local/share/ca-certificates/corp.crt", "CORP")
    machine.link("etc/ssl/certs/corp.pem", f"{os.sep}usr/local/share/ca-certificates/corp.crt")
    machine.put("var/lib/x/more.crt", "MORE")
    machine.link("etc/ssl/certs/more.pem", "/var/lib/x/more.crt")
    machine.link("etc/ssl/certs/1234.0", "corp.pem")
    machine.put("etc/ssl/certs/key.pem", "-----BEGIN RSA PRIVATE KEY-----")
    machine.put("etc/ssl/certs/java/cacerts", "JKS")
    stack = built()
    assert text(stack, "etc/ssl/certs/ca-certificates.crt") == "BUNDLE"
    assert text(stack, "etc/ssl/certs/1234.0") == text(stack, "etc/ssl/certs/corp.pem") == "CORP"
    assert text(stack, "etc/ssl/certs/more.pem") == "MORE"
    assert text(stack, "etc/ssl/certs/java/cacerts") == "JKS"
    assert os.readlink(f"{stack.skeleton}/etc/ssl/certs/1234.0") == "corp.pem"
    assert not os.path.islink(f"{stack.skeleton}/etc/ssl/certs/corp.pem")
    assert not has(stack, "etc/ssl/certs/key.pem")
    assert not has(stack, "etc/ssl/private")


def test_links_into_usr_stay_links_and_those_that_leave_become_files(built, machine):
    machine.link("etc/localtime", "/usr/share/zoneinfo/Etc/UTC")
    machine.link("etc/alternatives/awk", "/usr/bin/mawk")
    machine.put("var/lib/x/hosts", "from var")
    machine.link("etc/networks", "/var/lib/x/hosts")
    machine.link("etc/magic", "/var/lib/x/none")
    stack = built()
    assert os.readlink(f"{stack.skeleton}/etc/localtime") == "/usr/share/zoneinfo/Etc/UTC"
    assert os.readlink(f"{stack.skeleton}/etc/alternatives/awk") == "/usr/bin/mawk"
    assert text(stack, "etc/networks") == "from var"
    assert not has(stack, "etc/magic")


def test_package_settings_come_without_passwords_and_it_is_said(built, machine):
    machine.put("etc/pip.conf", "[global]\ncert = /x.crt\nindex-url = https://bob:hunter2@pypi.corp/simple\n")
    machine.put("etc/npmrc", "cafile=/x.crt\n//npm.corp/:_authToken=abc\nregistry=https://npm.corp/\n")
    stack = built()
    assert text(stack, "etc/pip.conf") == "[global]\ncert = /x.crt\n"
    assert text(stack, "etc/npmrc") == "cafile=/x.crt\nregistry=https://npm.corp/\n"
    assert [note for note in stack.notes if "pip.conf" in note]
    assert [note for note in stack.notes if "npmrc" in note]


def test_names_are_looked_up_behind_a_stub_on_loopback(built, machine):
    machine.put("etc/resolv.conf", "nameserver 127.0.0.53\noptions edns0 trust-ad\n")
    machine.put("run/systemd/resolve/resolv.conf", "nameserver 192.168.1.1\n")
    assert text(built(), "etc/resolv.conf") == "nameserver 192.168.1.1\n"


def test_no_name_server_in_reach_is_said(built, machine):
    machine.put("etc/resolv.conf", "nameserver 127.0.0.1\n")
    (note,) = built().notes
    assert "dynos cannot look up names" in note


def test_the_same_machine_gives_the_same_skeleton_untouched(built):
    first = built()
    inode = os.stat(first.skeleton).st_ino
    assert built() == first
    assert os.stat(first.skeleton).st_ino == inode


def test_a_change_gives_a_new_one_and_the_old_stays_while_in_use(built, machine, tmp_path):
    old = built()
    machine.put("etc/ssl/certs/ca-certificates.crt", "NEW")
    new = built()
    assert new.skeleton != old.skeleton
    state = str(tmp_path / "state")
    remove_unused(state, {old.skeleton, new.skeleton})
    assert text(old, "etc/ssl/certs/ca-certificates.crt") == "BUNDLE"
    remove_unused(state, {new.skeleton})
    assert os.listdir(os.path.dirname(new.skeleton)) == [os.path.basename(new.skeleton)]


@pytest.mark.parametrize("damage", ["content", "mode", "missing", "link"])
def test_a_damaged_skeleton_is_made_anew(built, damage):
    stack = built()
    hosts = f"{stack.skeleton}/etc/hosts"
    before = text(stack, "etc/hosts")
    match damage:
        case "content":
            with open(hosts, "a") as file:
                file.write("6.6.6.6 packages.example.com\n")
        case "mode":
            os.chmod(hosts, 0o666)
        case "missing":
            os.unlink(hosts)
        case "link":
            os.unlink(f"{stack.skeleton}/bin")
            os.symlink("tmp", f"{stack.skeleton}/bin")
    assert built() == stack
    assert text(stack, "etc/hosts") == before
    assert stat.S_IMODE(os.stat(hosts).st_mode) == 0o644
    assert os.readlink(f"{stack.skeleton}/bin") == "usr/bin"
    assert len(os.listdir(os.path.dirname(stack.skeleton))) == 1


def test_nothing_is_writable_but_tmp(built, machine):
    machine.put("etc/vim/vimrc", "x", mode=0o666)
    stack = built()
    for top, _, files in os.walk(stack.skeleton):
        for path in (top, *(f"{top}/{name}" for name in files)):
            if not os.path.islink(path) and not path.endswith("/tmp"):
                assert not os.stat(path).st_mode & 0o7022, path


def test_builds_are_told_of_the_bundle_only_when_there_is_one(built, machine):
    assert built().env["PIP_CERT"] == CA_BUNDLE
    os.unlink(f"{machine.root}/etc/ssl/certs/ca-certificates.crt")
    assert built().env == {"LANG": "C.UTF-8"}


def test_a_tree_too_large_for_configuration_is_left_out_and_it_is_said(built, machine):
    machine.put("etc/fonts/big", "x" * 9_000_000)
    stack = built()
    assert not has(stack, "etc/fonts")
    assert "fonts" in stack.notes[0]


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ('ID=ubuntu\nVERSION_ID="24.04"\n', "ubuntu-24.04"),
        ("ID=debian\nVERSION_CODENAME=trixie\n", "debian-trixie"),
        ("ID=../../etc\nVERSION_ID=1/2\n", "....etc-12"),
        ("", "linux"),
    ],
)
def test_names_of_stacks(release, name):
    assert stack_name(release.replace('"', "")) == name
