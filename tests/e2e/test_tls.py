"""Names, certificates and TLS of a whole platform: custom domains, certificates brought and fetched, what clients then see."""

import contextlib
import json
import socket
import ssl
import threading
import urllib.parse

import pytest
from support import whole
from x509_samples import Signer, pem

pytestmark = pytest.mark.e2e

NAME = "www.example.com"


def get(platform, name, trusted, path="/"):
    """One request over TLS for a name, trusting these PEM authorities alone; return (status, body)."""
    context = ssl.create_default_context(cadata=trusted)
    port = urllib.parse.urlsplit(platform.ready["router_tls"]).port
    with (
        contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout=80)) as raw,
        context.wrap_socket(raw, server_hostname=name) as secure,
    ):
        secure.sendall(f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while more := secure.recv(65536):
            data += more
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode(errors="replace")


def test_an_app_answers_over_tls_at_its_own_name_and_at_custom_ones(platform, tmp_path):
    platform.deploy("shell", "secure")
    with open(platform.ready["ca"]) as file:
        ours = file.read()
    assert get(platform, "secure.localhost", ours)[0] == 200

    platform.dyno("domains:add", NAME, "-a", "secure")
    said = platform.dyno("domains", "-a", "secure").stdout
    assert f"{NAME}  CNAME            secure.localhost" in said
    assert (
        "belongs to another app"
        in platform.dyno("domains:add", NAME, "-a", made(platform), check=False).stderr
    )

    signer = Signer()
    for name, text in zip(("crt", "key"), signer.server("*.example.com"), strict=True):
        (tmp_path / name).write_text(text)
    said = platform.dyno("certs:add", str(tmp_path / "crt"), str(tmp_path / "key"), "-a", "secure").stdout
    assert "*.example.com" in said
    with platform.tail("secure") as next_line:
        assert get(platform, NAME, pem(signer.root))[0] == 200
        while f"host={NAME}" not in (line := next_line()):
            pass
    assert "protocol=http1.1 tls=true tls_version=tls1.3" in line
    assert (
        platform.dyno(
            "certs:update",
            str(tmp_path / "key"),
            str(tmp_path / "crt"),
            "-a",
            "secure",
            "--confirm",
            "secure",
            check=False,
        ).returncode
        == 1
    )
    platform.dyno("certs:remove", "-a", "secure", "--confirm", "secure")
    with pytest.raises(ssl.SSLCertVerificationError):
        get(platform, NAME, pem(signer.root))
    platform.dyno("domains:remove", NAME, "-a", "secure")
    assert platform.json("domains", "-a", "secure")[0]["hostname"] == "secure.localhost"


def made(platform):
    platform.dyno("create", "second")
    return "second"


# -- ACME ---------------------------------------------------------------------------------------------------------------


class Names:
    """A name server that finds every name on this machine."""

    def __init__(self):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        while (asked := self._socket.recvfrom(4096))[0]:
            question, client = asked
            end = question.index(b"\0", 12) + 5
            found = question[end - 4 : end - 2] == b"\0\1"  # A
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1" if found else b""
            counts = b"\0\1" + (b"\0\1" if found else b"\0\0") + b"\0\0\0\0"
            self._socket.sendto(question[:2] + b"\x81\x80" + counts + question[12:end] + answer, client)

    def close(self):
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()


@pytest.fixture
def authority(tmp_path):
    """Pebble, the test authority of Let's Encrypt: yields (directory, what it shows for itself, start(http_port))."""
    import subprocess

    signer, names = Signer(), Names()
    ports = [free_port() for _ in range(2)]
    chain, key = signer.server("localhost")
    for name, text in (("crt", chain), ("key", key), ("root", pem(signer.root))):
        (tmp_path / name).write_text(text)
    children = []

    def begin(http_port):
        config = {
            "listenAddress": f"127.0.0.1:{ports[0]}",
            "managementListenAddress": f"127.0.0.1:{ports[1]}",
            "certificate": str(tmp_path / "crt"),
            "privateKey": str(tmp_path / "key"),
            "httpPort": http_port,
            "tlsPort": 9,
        }
        (tmp_path / "pebble.json").write_text(json.dumps({"pebble": config}))
        children.append(
            subprocess.Popen(
                ["pebble", "-config", str(tmp_path / "pebble.json"), "-dnsserver", names.address],
                env={"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "30", "PATH": "/usr/bin"},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        wait_listening(ports[0])
        context = ssl.create_default_context(cafile=str(tmp_path / "root"))
        with urlopen(f"https://localhost:{ports[1]}/roots/0", context) as answer:
            return answer.read().decode()

    yield f"https://localhost:{ports[0]}/dir", str(tmp_path / "root"), begin
    for child in children:
        child.kill()
        child.wait()
    names.close()


def urlopen(url, context):
    import urllib.request

    return urllib.request.urlopen(url, context=context, timeout=60)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_listening(port):
    """A program that is not ours tells nobody when it is up."""
    deadline = threading.Event()
    for _ in range(400):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        deadline.wait(0.05)
    raise AssertionError(f"nobody listens on {port}")


@pytest.mark.linux("pebble")
def test_certificates_are_fetched_over_http_01_and_failures_are_said(tmp_path, authority):
    directory, root, begin = authority
    base = tmp_path / "w"
    base.mkdir()
    tmp_path.chmod(0o755)
    (tmp_path / "dynod.toml").write_text(
        f'acme_directory = "{directory}"\nacme_trusted = "{root}"\nacme_email = "a@example.com"\nlab_time = true\n'
    )
    platform = whole.start(base, "--config", str(tmp_path / "dynod.toml"))
    try:
        platform.dyno("create", "auto")
        platform.dyno("domains:add", NAME, "-a", "auto")
        platform.dyno("domains:add", "*.example.com", "-a", "auto")
        assert "disabled" in platform.dyno("certs:auto", "-a", "auto").stdout
        with platform.tail("auto") as next_line:
            platform.dyno("certs:auto:enable", "-a", "auto")  # nobody is there yet
            wait_for(platform, next_line, "failing", "cannot reach the authority")
            issuer = begin(urllib.parse.urlsplit(platform.ready["router"]).port)
            platform.dyno("certs:auto:refresh", "-a", "auto")
            wait_for(platform, next_line, "cert issued", "")
        star = next(
            row for row in platform.json("domains", "-a", "auto") if row["hostname"] == "*.example.com"
        )
        assert star["acm_status"] == "failed"
        assert get(platform, NAME, issuer)[0] == 502  # H81: nothing was deployed
        (shown,) = platform.json("certs", "-a", "auto")
        assert (shown["ssl_cert"]["acm"], shown["ssl_cert"]["cert_domains"]) == (True, [NAME])
        assert renewed_after(platform, "1218d") == 1  # Pebble's live for five years
        # For our clock it came too old, which is no reason to fetch all day.
        assert renewed_after(platform, "1d") == 2
        platform.dyno("certs:auto:disable", "-a", "auto", "--confirm", "auto")
        assert platform.json("certs", "-a", "auto") == []
    finally:
        assert platform.stop() == 0


def renewed_after(platform, time):
    """Let time pass; return how often the certificate was renewed until the log tells of it anew."""
    words, what = ("logs", "-a", "auto", "-n", "1500"), "Update SSL certificate"

    def count():
        return platform.dyno(*words).stdout.count(what)

    before = count()
    platform.dyno("lab:advance", time)
    platform.until(lambda: count() > before, "auto")
    assert platform.get("auto")[0] == 502
    return count()


def wait_for(platform, next_line, status, reason):
    """Wait until the domain stands so: each change has a line in the app's log."""
    while True:
        row = next(row for row in platform.json("domains", "-a", "auto") if row["hostname"] == NAME)
        if row["acm_status"] == status:
            assert reason in (row["acm_status_reason"] or "")
            return
        line = next_line()
        assert (
            status != "cert issued" or "Cannot fetch" not in line or "cannot reach the authority" in line
        ), line
