"""What a dyno sees of the world, asserted from inside."""

import os
import subprocess
from pathlib import Path

import pytest
from jailed import SLUG_UID, UID_FIRST, TestHost, close_all, read_all, read_until

pytestmark = pytest.mark.linux


@pytest.fixture(scope="module")
def host():
    one = TestHost().start()
    yield one
    one.close()


def test_pid_1_is_init_and_there_are_only_own_processes(host):
    _, said = host.sh(
        "cat /proc/1/comm; echo $$; ls -d /proc/[0-9]* | grep -v -e /proc/1$ -e /proc/$$$ | wc -l"
    )
    comm, shell, others = said.split()
    # Main runs beside init: between init's exec and its first line a newer kernel (6.14) names it after its file in memory.
    assert comm in {"dyno-init", "memfd:dyno-init"}
    assert int(shell) == 2
    assert int(others) <= 3  # the pipeline itself


def test_the_uid_has_no_capability_and_can_gain_none(host):
    plan = host.plan("grep", "-E", "^(Uid|Gid|Groups|Cap|NoNewPrivs)", "/proc/self/status", id="caps")
    _, (stdin, stdout) = host.boot(plan)
    said = dict(line.split(":", 1) for line in read_until(stdout, "NoNewPrivs").splitlines())
    close_all([stdin, stdout])
    assert said["Uid"].split() == said["Gid"].split() == [str(plan["uid"])] * 4
    assert said["Groups"].split() == []
    assert {said[name].strip() for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert said["NoNewPrivs"].strip() == "1"


def test_init_has_no_privilege_either_and_cannot_be_looked_into(host):
    _, said = host.sh(
        "grep -E '^(Uid|CapEff|CapBnd)' /proc/1/status; for f in environ fd/0 maps mem ns/net cwd; do "
        "cat /proc/1/$f >/dev/null 2>&1 && echo read $f; ls -l /proc/1/$f/ 2>/dev/null; done; tr -d '\\0 ' </proc/1/cmdline"
    )
    uid, effective, bounding, *rest = said.splitlines()
    assert int(uid.split()[1]) >= UID_FIRST
    assert effective.split()[1] == bounding.split()[1] == "0" * 16
    assert rest == ["dyno-init"]


def test_every_namespace_is_its_own(host):
    kinds = ("mnt", "pid", "ipc", "uts", "cgroup", "net", "user")
    _, said = host.sh("cd /proc/self/ns; readlink " + " ".join(kinds))
    assert all(
        theirs != os.readlink(f"/proc/self/ns/{kind}")
        for kind, theirs in zip(kinds, said.split(), strict=True)
    )


def test_its_user_namespace_knows_its_own_uid_and_no_other(host):
    plan = host.plan("cat", "/proc/self/uid_map", "/proc/self/gid_map", "/proc/1/uid_map")
    _, (stdin, stdout) = host.boot(plan)
    os.close(stdin)
    uid = str(plan["uid"])
    assert read_all(stdout).split() == [uid, uid, "1"] * 3


INSTANCES = "/proc/sys/fs/inotify/max_user_instances"
WATCHERS = f"""
import ctypes
made = [ctypes.CDLL(None).inotify_init() for _ in range(int(open("{INSTANCES}").read()) - 1)]
print(min(made) >= 0, flush=True)
input()
"""


def test_what_is_counted_per_user_is_counted_for_each_dyno_alone(host):
    """A user namespace's maker is counted along: it must not be root, for all dynos together."""
    files = int(Path(INSTANCES).read_text()) + 100
    limits = {"memory": 64 * 1024**2, "tasks": 16, "cpu": 1, "files": files}
    streams = []
    for _ in range(3):
        _, fds = host.boot(host.plan("/usr/bin/python3", "-c", WATCHERS, limits=limits))
        streams += fds
        assert read_until(fds[1], "\n") == "True\n"
    close_all(streams)


def test_the_host_name_is_the_plans(host):
    assert host.sh("uname -n", id="named")[1] == "host-of-named\n"


def test_its_own_name_is_among_its_hosts(host):
    hosts = host.state / "stack/test/etc/hosts"
    hosts.write_text("127.0.0.1\tlocalhost\n")
    try:
        labels = {"address": "172.16.0.2", "address6": "fd64:796e:6f64::2"}
        own = f"host-of-d{host.made + 1}"
        said = host.sh("cat /etc/hosts; [ -w /etc/hosts ] || echo read-only", labels=labels)[1]
        assert said.splitlines() == [
            "127.0.0.1\tlocalhost",
            f"172.16.0.2\t{own}",
            f"fd64:796e:6f64::2\t{own}",
            "read-only",
        ]
        assert "\n127.0.1.1\thost-of-" in host.sh("cat /etc/hosts")[1]
        forged = {"address": "1.2.3.4\nfe80::1"}
        assert host.sh("cat /etc/hosts", labels=forged)[1] == hosts.read_text() == "127.0.0.1\tlocalhost\n"
    finally:
        hosts.unlink()


@pytest.mark.parametrize("kind", ["link", "pipe", "nothing"])
def test_what_a_slug_has_in_the_place_of_its_hosts_harms_nobody(host, kind, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    slug = host.state / f"slugs/hosts-{kind}"
    (slug / "etc").mkdir(parents=True)
    (slug / "app").mkdir()
    if kind == "link":
        (slug / "etc/hosts").symlink_to(outside)
    elif kind == "pipe":
        os.mkfifo(slug / "etc/hosts")
    for path in (slug, *slug.rglob("*")):
        os.chown(path, SLUG_UID, SLUG_UID, follow_symlinks=False)
    lower = [[str(slug), True], [str(host.state / "stack/test"), False]]
    assert host.sh("echo well", lower=lower) == (0, "well\n")
    assert outside.read_text() == "untouched"


def test_the_slug_is_the_dynos_own_and_stays_untouched(host):
    status, said = host.sh(
        "set -e; stat -c %u hello; echo more >> hello; chmod 700 lib; mv lib moved; rm moved/code; mkdir new; "
        "cat hello; ls"
    )
    slug = host.state / "slugs/s1/app"
    assert (status, said.split()[1:]) == (
        0,
        ["from", "the", "slug", "more", "hello", "moved", "new", "plain"],
    )
    assert int(said.split()[0]) >= UID_FIRST
    assert (slug / "hello").read_text() == "from the slug\n"
    assert {path.stat().st_uid for path in slug.rglob("*")} == {SLUG_UID}
    assert sorted(path.name for path in slug.rglob("*")) == ["code", "hello", "lib", "plain"]


def test_what_is_written_is_there_for_the_next_process_and_gone_with_the_dyno(host):
    assert host.sh("echo x > /app/x; cat /app/x")[1] == "x\n"
    assert host.sh("cat /app/x")[0] == 1


def test_usr_the_root_and_etc_cannot_be_written(host):
    _, said = host.sh(
        "for f in /usr/x /usr/bin/x /x /etc/x /dev/x /proc/sys/kernel/core_pattern; do (echo > $f) 2>/dev/null && echo $f; done"
    )
    assert said == ""


def test_no_host_path_is_visible(host):
    _, said = host.sh("ls /; ls /root /home /srv /sys /lower /scratch /var 2>/dev/null | wc -l")
    assert said.split() == [
        "app",
        "bin",
        "dev",
        "etc",
        "lib",
        "lib64",
        "mnt",
        "proc",
        "sbin",
        "tmp",
        "usr",
        "0",
    ]


def test_the_mount_table_has_nosuid_everywhere_and_no_other_root(host):
    _, said = host.sh("cat /proc/self/mountinfo")
    lines = [line.split() for line in said.splitlines()]
    assert all("nosuid" in line[5] for line in lines)
    assert [line[4] for line in lines if line[4] == "/"] == ["/"]
    assert all("shared:" not in line and "master:" not in line for line in said.splitlines())
    assert all("nodev" in line[5] for line in lines if not line[4].startswith(("/dev", "/proc")))


UNDER = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
uid = os.getuid()
print(libc.unshare(0x10000000 | 0x20000))
for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {uid} 1")):
    open(f"/proc/self/{name}", "w").write(text)
for path in (b"/", b"..", b"/proc", b"/dev", b"/proc/kallsyms", b"/proc/sys"):
    print(libc.umount2(path, 2))
os.chdir("/")
for _ in range(5):
    os.chdir("..")
print(*sorted(os.listdir(".")))
print(os.path.exists("/lower"), os.path.exists("/scratch"), open("/proc/kallsyms").read() == "")
"""


def test_no_mount_can_be_taken_away_even_by_root_of_a_user_namespace(host):
    """The filter lets nobody make one; this is the wall behind it, so what tries is put in without the filter."""
    plan = host.plan("cat")
    said, fds = host.boot(plan)
    into = ["nsenter", "-t", str(said["pid"]), "-m", "-p", "-S", str(plan["uid"]), "-G", str(plan["uid"])]
    out = subprocess.run([*into, "/usr/bin/python3", "-c", UNDER], capture_output=True, text=True, check=True)
    close_all(fds)
    made, *unmounted, root, hidden = out.stdout.splitlines()
    assert made == "0"
    assert unmounted == ["-1"] * 6
    assert root.split() == ["app", "bin", "dev", "etc", "lib", "lib64", "mnt", "proc", "sbin", "tmp", "usr"]
    assert hidden == "False False True"


def test_tmp_is_private_to_each_dyno(host):
    script = "echo mine > /tmp/f-$0; ls /tmp; cat"
    first, second = (host.plan("sh", "-c", script, name) for name in ("one", "two"))
    _, one = host.boot(first)
    assert read_until(one[1], "f-one") == "f-one\n"
    _, two = host.boot(second)
    assert read_until(two[1], "f-two") == "f-two\n"
    close_all([*one, *two])


def test_proc_tells_no_secret_and_takes_no_setting(host):
    _, said = host.sh(
        "cat /proc/kallsyms /proc/keys /proc/timer_list /proc/kcore 2>/dev/null | wc -c; ls /proc/acpi 2>/dev/null | wc -l; "
        "grep -c processor /proc/cpuinfo; (echo 1 > /proc/sysrq-trigger) 2>/dev/null || echo refused"
    )
    kernel, acpi, processors, trigger = said.split()
    assert (kernel, acpi, trigger) == ("0", "0", "refused")
    assert int(processors) >= 1


def test_devices_are_the_harmless_ones(host):
    _, said = host.sh(
        "ls /dev; head -c 3 /dev/zero | wc -c; echo gone > /dev/null; echo kept > /dev/shm/x && cat /dev/shm/x"
    )
    assert said.split() == [
        "fd",
        "full",
        "null",
        "ptmx",
        "pts",
        "random",
        "shm",
        "stderr",
        "stdin",
        "stdout",
        "tty",
        "urandom",
        "zero",
        "3",
        "kept",
    ]


def test_no_descriptor_leaks_in(host):
    _, said = host.sh("ls /proc/self/fd")
    assert said.split() == ["0", "1", "2", "3"]  # 3 is the listing itself


def test_signals_are_as_a_program_expects_them(host):
    # Not through a shell: dash unblocks signals itself.
    _, (stdin, stdout) = host.boot(host.plan("grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"))
    os.close(stdin)
    said = read_all(stdout)
    glibcs_own = 1 << 31 | 1 << 32  # 32 and 33, which posix_spawn leaves ignored and threads set again
    assert [int(line.split()[1], 16) & ~glibcs_own for line in said.splitlines()] == [0, 0]


def test_resource_limits(host):
    _, said = host.sh("ulimit -n; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj; umask")
    assert said.split() == ["1000", "1000", "0", "200", "0022"]


def test_the_app_leads_a_session_of_its_own(host):
    plan = host.plan("sh", "-c", "cut -d' ' -f1,6 /proc/$$/stat")
    _, (stdin, stdout) = host.boot(plan)
    assert read_until(stdout, "\n").split() == ["2", "2"]
    close_all([stdin, stdout])


def test_an_empty_network_has_a_working_loopback_and_nothing_else(host):
    _, said = host.sh("tail -n +3 /proc/net/dev | cut -d: -f1; cat /proc/net/fib_trie | grep -c 127.0.0.1")
    names, addresses = said.split()[:-1], said.split()[-1]
    assert names == ["lo"]
    assert int(addresses) > 0


def test_a_ready_network_namespace_is_entered(host):
    name = f"jail-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(
            ["ip", "-n", name, "link", "add", "marker0", "type", "veth", "peer", "marker1"], check=True
        )
        _, said = host.sh("cat /proc/net/dev; cat /proc/1/net/dev", netns=f"/run/netns/{name}")
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)
    assert said.count("marker0:") == 2  # its init is inside as well


def test_a_writable_idmapped_bind_lands_on_disk_as_its_owners(host):
    cache = host.state / "cache/app-1"
    cache.mkdir(parents=True)
    (cache / "old").write_text("kept\n")
    for path in (cache, cache / "old"):
        os.chown(path, SLUG_UID, SLUG_UID)
    bind = {"source": str(cache), "target": "/mnt/cache", "writable": True, "idmap": True}
    plan = host.plan("true")
    status, said = host.sh(
        "cat /mnt/cache/old; stat -c %u /mnt/cache/old; echo new > /mnt/cache/new",
        binds=[*plan["binds"], bind],
    )
    assert (status, said.split()[0]) == (0, "kept")
    assert int(said.split()[1]) >= UID_FIRST
    assert (cache / "new").read_text() == "new\n"
    assert (cache / "new").stat().st_uid == SLUG_UID


def test_a_file_can_be_bound_read_only(host):
    hosts = host.state / "stack/hosts"
    hosts.write_text("127.0.0.1 localhost\n")
    binds = [
        *host.plan("true")["binds"],
        {"source": str(hosts), "target": "/etc/hosts", "writable": False, "idmap": False},
    ]
    status, said = host.sh("cat /etc/hosts; echo x > /etc/hosts", binds=binds)
    assert (status != 0, said.splitlines()[0]) == (True, "127.0.0.1 localhost")
    assert hosts.read_text() == "127.0.0.1 localhost\n"


def test_paths_with_the_marks_of_mount_options_are_just_names(host):
    odd = host.state / "slugs/a:b,c=d"
    subprocess.run(["cp", "-a", str(host.state / "slugs/s1"), str(odd)], check=True)
    plan = host.plan("cat", "hello")
    assert host.sh("cat hello", lower=[[str(odd), True], plan["lower"][1]])[1] == "from the slug\n"


def test_a_link_in_the_slug_leads_nowhere_but_into_the_dyno(host):
    slug = host.state / "slugs/hostile"
    subprocess.run(["cp", "-a", str(host.state / "slugs/s1"), str(slug)], check=True)
    (slug / "app/out").symlink_to("/mnt")
    secret = host.state / "builds/b1"
    secret.mkdir(parents=True)
    os.chown(secret, SLUG_UID, SLUG_UID)
    binds = [
        *host.plan("true")["binds"],
        {"source": str(secret), "target": "/app/out/there", "writable": True, "idmap": True},
    ]
    status, _ = host.sh(
        "echo x > /mnt/there/x", lower=[[str(slug), True], host.plan("true")["lower"][1]], binds=binds
    )
    assert status == 0
    assert (secret / "x").exists()
    assert not Path("/mnt/there").exists()


def test_the_environment_is_the_plans_alone(host):
    plan = host.plan("env", env={"PATH": "/usr/bin", "A": "1 2", "ü": "ß"})
    _, (stdin, stdout) = host.boot(plan)
    os.close(stdin)
    said = read_until(stdout, "ß").splitlines()
    os.close(stdout)
    assert sorted(said) == sorted(["PATH=/usr/bin", "A=1 2", "ü=ß"])
