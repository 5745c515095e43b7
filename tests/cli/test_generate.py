"""`dyno certs:generate`: what lies in the directory afterwards, and that it is what authorities and `certs:add` take."""

import os
import time

import pytest
from cryptography import x509

from dynod.host import certificates


@pytest.fixture
def here(tmp_path, monkeypatch, control):
    control.answers["sni-endpoints.list"] = [{"ssl_cert": {"cert_domains": ["www.example.com"]}}]
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_key_and_a_request_are_made_and_nothing_is_written_over(here, type_in):
    status, out, err = type_in(
        "certs:generate WWW.example.org -a demo --now --subject /C=DE/O=Mine/CN=www.example.org"
    )
    assert (status, err) == (0, "")
    assert "Submit the CSR in 'www.example.org.csr' to your preferred certificate authority." in out
    assert out.endswith("$ dyno certs:add CERTFILE www.example.org.key\n")
    assert os.stat(here / "www.example.org.key").st_mode & 0o777 == 0o600
    made = x509.load_pem_x509_csr((here / "www.example.org.csr").read_bytes())
    assert made.is_signature_valid
    assert made.subject.rfc4514_string() == "CN=www.example.org,O=Mine,C=DE"
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["www.example.org"]
    before = (here / "www.example.org.key").read_bytes()
    status, _, err = type_in("certs:generate www.example.org -a demo")
    assert (status, "cannot write www.example.org.key: it is there already" in err) == (1, True)
    assert (here / "www.example.org.key").read_bytes() == before


def test_a_certificate_that_signs_itself_is_taken_by_certs_add(here, type_in):
    status, out, _ = type_in("certs:generate www.example.com -a demo --selfsigned")
    assert (status, "$ dyno certs:update www.example.com.crt www.example.com.key\n" in out) == (0, True)
    chain, key = ((here / f"www.example.com.{kind}").read_text() for kind in ("crt", "key"))
    found = certificates.read(chain, key, time.time() + 1)
    assert (found.domains, found.self_signed) == (("www.example.com",), True)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("no", "it needs a dot"),
        ("www.example.com --keysize 1024", "cannot make a key of 1024 bits: say 2048, 3072, 4096"),
        ("www.example.com --subject /X=1", "cannot use the subject '/X=1': it must be like /C="),
        ("www.example.com --subject /C=Germany", "cannot use the subject '/C=Germany': "),
    ],
)
def test_what_cannot_be_made_is_refused_and_leaves_nothing(here, type_in, words, why):
    status, _, err = type_in(f"certs:generate {words} -a demo")
    assert (status, why in err) == (1, True), err
    assert [name for name in os.listdir(here) if "example" in name] == []
