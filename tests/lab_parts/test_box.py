"""The box for Vagrant asks the name servers that its network names, not those of the machine on which it was made."""

import subprocess

from lab import box


def test_name_servers_are_those_of_the_network(tmp_path):
    (state := tmp_path / "state").write_text(
        "# private\nOPER_STATE=routable\nDNS=192.0.2.1 192.0.2.2\nNTP=192.0.2.3\n"
    )
    assert written(state) == "nameserver 192.0.2.1\nnameserver 192.0.2.2\n"


def test_a_network_that_names_none_gives_none(tmp_path):
    (state := tmp_path / "state").write_text("OPER_STATE=routable\n")
    assert written(state) == ""


def written(state):
    script = box.RESOLVERS.format(state=state)
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout


def test_the_image_s_own_name_server_does_not_come_along():
    assert "rm -f /etc/resolv.conf" in box.OPEN
    assert "10.0.2.3" not in box.OPEN
