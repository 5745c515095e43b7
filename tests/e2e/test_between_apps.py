"""Dynos among themselves: one app calls another through the router and in no other way, and a dyno knows its own name."""

import re
import subprocess

import pytest
from support import whole

pytestmark = pytest.mark.e2e

ASK = """
import http.client, sys
host, port, name = sys.argv[1:]
try:
    connection = http.client.HTTPConnection(host, int(port), timeout=3)
    connection.request("GET", "/", headers={"Host": name})
    print(connection.getresponse().status)
except OSError as error:
    print("shut")
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    """A platform whose router is public."""
    base = tmp_path_factory.mktemp("p")
    base.chmod(0o755)
    made = whole.start(base, "--router", "0.0.0.0:0")
    yield made
    assert made.stop() == 0


def machine():
    """An address of this machine that others reach."""
    said = subprocess.run(
        ["ip", "-4", "route", "get", "192.0.2.1"], capture_output=True, text=True, check=True
    )
    return re.search(r" src (\S+)", said.stdout)[1]


def test_an_app_calls_another_by_its_address_and_finds_nothing_else_open(platform):
    for app in ("caller", "called"):
        platform.deploy("shell", app)

    def ask(port, name="called.localhost"):
        words = ("python3", "-c", ASK, machine(), str(port), name)
        return platform.dyno("run", "-a", "caller", "--", *words).stdout.strip()

    router = platform.ready["router"].rpartition(":")[2]
    api = platform.ready["api"].rpartition(":")[2]
    assert ask(router) == "200"
    assert ask(router, "nobody.localhost") == "404"
    assert ask(api) == "shut"
    with platform.tail("called") as lines:
        ask(router)
        while "heroku[router]: at=info method=GET" not in lines():
            pass


def test_a_dyno_finds_itself_by_its_name(platform):
    said = platform.dyno(
        "run", "-a", "caller", "--", "sh", "-c", "hostname; cat /etc/hosts; getent hosts $(hostname)"
    ).stdout
    name = said.splitlines()[0]
    own = re.search(rf"^(172\.\d+\.\d+\.\d+)\t{name}$", said, re.MULTILINE)
    assert own is not None, said
    assert re.search(r"^127\.0\.0\.1\tlocalhost$", said, re.MULTILINE)
    assert said.splitlines()[-1].split()[1] == name
