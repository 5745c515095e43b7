"""The official `heroku` CLI about names: domains, certificates, automatic certificates, features and labs."""

import json
import re

import pytest
from x509_samples import Signer

from tests.e2e.heroku_client import MARKS, Heroku, fresh, heroku, programs, ready

__all__ = ["heroku", "programs", "ready"]  # fixtures
pytestmark = MARKS


@pytest.fixture(scope="module")
def app(heroku):
    name = fresh()
    heroku("apps:create", name)
    yield Heroku(heroku.env, heroku.home, name)
    heroku("apps:destroy", "-a", name, "--confirm", name)


def test_domains_and_certificates_from_the_first_to_the_last(app, tmp_path):
    host = f"www.{app.app}.example"
    signer = Signer()
    for number, names in enumerate(([f"*.{app.app}.example"], [host, f"x.{app.app}.example"])):
        for kind, text in zip(("crt", "key"), signer.server(*names), strict=True):
            (tmp_path / f"{kind}{number}").write_text(text)
    first, second = ([str(tmp_path / f"crt{number}"), str(tmp_path / f"key{number}")] for number in (0, 1))

    assert "has no SSL certificates" in app.on("certs")
    said = app.on("certs:add", *first)
    assert "Adding SSL certificate to" in said
    assert f"*.{app.app}.example" in said
    wrong = app.on("certs:add", first[0], second[1], status=2)
    assert "the key does not belong to it" in wrong
    (name,) = re.findall(r"\b[a-z]+-[a-z]+-\d+\b", app.on("certs"))

    said = app.on("domains:add", host)
    assert f"DNS Target {app.app}.localhost" in said
    assert "it has it" in app.on("domains:add", host, status=2)
    app.on("domains:wait", host)
    said = app.on("domains")
    assert re.search(rf"{host}\s+CNAME\s+{app.app}.localhost\s+{name}", said)
    assert {one["kind"] for one in json.loads(app.on("domains", "--json"))} == {"heroku", "custom"}
    assert re.search(r"kind:\s+custom", app.on("domains:info", host))
    assert "... done" in app.on("domains:update", host, "--cert", name)

    assert "SSL certificate is not trusted" in app.on("certs:info") or "CN=" in app.on("certs:info")
    assert host in app.on("certs:info", "--show-domains")
    assert "Updated certificate details" in app.on("certs:update", *second, "--confirm", app.app)
    assert "... done" in app.on("certs:remove", "--confirm", app.app)
    assert "has no SSL certificates" in app.on("certs")
    assert "... done" in app.on("domains:remove", host)
    app.on("domains:add", host)
    app.on("domains:clear")
    assert host not in app.on("domains")


def test_automatic_certificates_are_enabled_shown_and_disabled(app):
    assert "is disabled on" in app.on("certs:auto")
    app.on("domains:add", f"*.{app.app}.example")  # a wildcard, so that no authority is asked
    assert "Enabling Automatic Certificate Management... starting" in app.on("certs:auto:enable")
    said = app.on("certs:auto")
    assert "is enabled on" in said
    assert re.search(r"\.example\s+Failed\s+Wildcard domains need", said)
    assert re.search(r"Auto Cert Mgmt:\s+true", app.on("apps:info"))
    assert "... done" in app.on("certs:auto:refresh")
    assert "... done" in app.on("certs:auto:disable", "--confirm", app.app)
    app.on("domains:clear")


def test_features_and_labs_are_switched(heroku, app):
    assert "[ ] preboot" in app.on("features")
    assert "... done" in app.on("features:enable", "preboot")
    assert re.search(r"Enabled:\s+true", app.on("features:info", "preboot"), re.IGNORECASE)
    assert "already enabled" in app.on("features:enable", "preboot", status=1)
    assert "... done" in app.on("features:disable", "preboot")
    assert "[ ] runtime-dyno-metadata" in app.on("labs")
    heroku("labs")
    assert "... done" in app.on("labs:enable", "runtime-dyno-metadata")
    assert re.search(r"Enabled:\s+true", app.on("labs:info", "runtime-dyno-metadata"), re.IGNORECASE)
    assert "... done" in app.on("labs:disable", "runtime-dyno-metadata", "--confirm", app.app)
