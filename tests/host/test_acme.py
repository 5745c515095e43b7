"""The client of certificate authorities, against Pebble, which believes every proof here; tests/e2e/test_tls.py has the router give one."""

import asyncio
import json
import subprocess
import time

import pytest
from x509_samples import Signer, pem

from dynod.host import certificates
from dynod.host.acme import Acme, AcmeFailed
from tests.e2e.test_tls import free_port, wait_listening

pytestmark = pytest.mark.linux("pebble")


class Pebble:
    """An authority that forgets all accounts and orders when it is started anew."""

    def __init__(self, where):
        signer, self._port = Signer(), free_port()
        chain, key = signer.server("localhost")
        for name, text in (("crt", chain), ("key", key), ("root", pem(signer.root))):
            (where / name).write_text(text)
        config = {
            "listenAddress": f"127.0.0.1:{self._port}",
            "managementListenAddress": f"127.0.0.1:{free_port()}",
            "certificate": str(where / "crt"),
            "privateKey": str(where / "key"),
        }
        (where / "pebble.json").write_text(json.dumps({"pebble": config}))
        self._config = str(where / "pebble.json")
        self.directory, self.trusted = f"https://localhost:{self._port}/dir", str(where / "root")

    def __enter__(self):
        self._child = subprocess.Popen(
            ["pebble", "-config", self._config],
            env={
                "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_VA_ALWAYS_VALID": "1", "PEBBLE_WFE_NONCEREJECT": "30", "PATH": "/usr/bin",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_listening(self._port)
        return self

    def __exit__(self, *_):
        self._child.kill()
        self._child.wait()


async def proven(token, answer):
    assert answer.startswith(f"{token}.")


async def fetched(acme, name="www.example.com"):
    key = certificates.new_key()
    return key, await acme.certificate(name, key, proven)


def test_a_certificate_comes_with_the_key_it_was_asked_for_and_an_authority_that_forgot_us_is_told_again(
    tmp_path,
):
    async def test():
        pebble = Pebble(tmp_path)
        acme = Acme(pebble.directory, certificates.new_key(), "a@example.com", pebble.trusted)
        with pytest.raises(AcmeFailed, match="cannot reach the authority"):
            await fetched(acme)
        with pebble:
            for _ in range(2):  # one account for both
                key, chain = await fetched(acme)
                found = certificates.read(chain, certificates.key_text(key), time.time())
                assert found.domains == ("www.example.com",)
        with pebble:
            assert "BEGIN CERTIFICATE" in (await fetched(acme))[1]

    asyncio.run(test())
