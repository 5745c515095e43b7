"""The local authority: made once, trusted, kept; the certificate made anew when it must be."""

import datetime as dt
import os
import ssl
import stat
import subprocess

import pytest
from cryptography import x509

from dynod.api import tls
from tests.api.served import run

NOW = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)


def renew(tmp_path, now=NOW, host="127.0.0.1", domain="localhost"):
    os.makedirs(tmp_path / "run", exist_ok=True)
    return tls.renew(str(tmp_path), str(tmp_path / "run"), host, domain, now)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def test_keys_are_private_and_the_authority_is_everybodys(tmp_path):
    path, key = renew(tmp_path)
    for name in (key, tmp_path / "secrets" / "ca.key"):
        assert stat.S_IMODE(os.stat(name).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(tmp_path / "secrets").st_mode) == 0o700
    assert stat.S_IMODE(os.stat(tmp_path / "run" / "ca.pem").st_mode) == 0o644
    when, trusted = f"{NOW.timestamp():.0f}", tmp_path / "run/ca.pem"
    argv = ["openssl", "verify", "-x509_strict", "-attime", when, "-CAfile", trusted, path]
    checked = subprocess.run(argv, check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_what_was_made_is_valid_when_the_clock_is_set_back_by_days(tmp_path):
    path, _ = renew(tmp_path)
    for name in (path, tmp_path / "run" / "ca.pem"):
        made = x509.load_pem_x509_certificate(read(name))
        assert made.not_valid_before_utc <= NOW - dt.timedelta(days=6)


def test_a_restart_changes_nothing(tmp_path):
    path, key = renew(tmp_path)
    before = read(path), read(key), read(tmp_path / "run" / "ca.pem")
    os.unlink(tmp_path / "run" / "ca.pem")  # RUN does not outlive a reboot
    renew(tmp_path, NOW + dt.timedelta(days=100))
    assert (read(path), read(key), read(tmp_path / "run" / "ca.pem")) == before


@pytest.mark.parametrize(
    "change",
    [
        {"now": NOW + dt.timedelta(days=tls.SERVER_DAYS - tls.RENEW_DAYS)},
        {"domain": "apps.example.com"},
        {"host": "192.0.2.1"},
    ],
)
def test_the_certificate_is_renewed_and_the_authority_kept(tmp_path, change):
    path, _ = renew(tmp_path)
    before = read(path), read(tmp_path / "run" / "ca.pem")
    renew(tmp_path, **change)
    assert read(path) != before[0]
    assert read(tmp_path / "run" / "ca.pem") == before[1]


def test_an_authority_near_its_end_makes_place_for_a_new_one(tmp_path):
    path, _ = renew(tmp_path)
    before = read(path), read(tmp_path / "run" / "ca.pem")
    renew(tmp_path, NOW + dt.timedelta(days=tls.AUTHORITY_DAYS - 100))
    assert read(tmp_path / "run" / "ca.pem") != before[1]
    assert read(path) != before[0]


def test_a_certificate_of_another_authority_is_replaced(tmp_path):
    path, _ = renew(tmp_path)
    before = read(path)
    os.unlink(tmp_path / "secrets" / "ca.key")
    renew(tmp_path)
    assert read(path) != before


def test_every_name_of_this_machine_is_trusted():
    async def story(whole):
        import asyncio

        for name in ("localhost", "127.0.0.1", "::1"):
            _, writer = await asyncio.open_connection(
                "127.0.0.1", whole.api.api_port, ssl=whole.trust, server_hostname=name
            )
            writer.close()
            await writer.wait_closed()
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(
                "127.0.0.1", whole.api.api_port, ssl=whole.trust, server_hostname="example.com"
            )

    run(story)
