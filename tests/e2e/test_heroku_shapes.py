"""Every row of the API asked of a whole platform: each answer has the fields and kinds of values that tests/api/shapes.py tells."""

import http.client
import io
import json
import ssl
import tarfile
import urllib.parse

import pytest
from x509_samples import Signer

from dynod.api.operations import OPERATIONS
from tests.api import shapes

pytestmark = pytest.mark.e2e

# It listens for `forward` before it does for requests.
WEB = (
    "exec python3 -c \"import http.server as h, os, socket; s = socket.create_server(('0.0.0.0', 8000)); "
    "h.HTTPServer(('0.0.0.0', int(os.environ['PORT'])), h.SimpleHTTPRequestHandler).serve_forever()\""
)
FILES = {"Procfile": f"web: {WEB}\nworker: exec sleep inf\nrelease: echo released $DYNO\n"}


class Api:
    """An API client that believes no answer; `asked` are the rows that answered it with what they are for."""

    def __init__(self, ready):
        self._place = urllib.parse.urlsplit(ready["api"])
        self._trust = ssl.create_default_context(cafile=ready["ca"])
        self._token = ready["token"]
        self.asked = set()

    def raw(self, method, url, body=None, headers=None):
        place = urllib.parse.urlsplit(url)
        path = place.path + (f"?{place.query}" if place.query else "")
        where = http.client.HTTPSConnection(self._place.hostname, self._place.port, context=self._trust)
        where.request(method, path, body, headers or {})
        answer = where.getresponse()
        data = answer.read()
        where.close()
        return answer.status, data

    def __call__(self, name, body=None, query="", **params):
        """Ask a row; return what it answered."""
        row = next(row for row in OPERATIONS if row.name == name)
        path = row.path.format(app="shapes", **params) + query
        status, answer = self.sent(row.method, path, body)
        assert status < 400, f"{row.method} {path}: {answer}"
        why = shapes.of(row.method, path, status, answer)
        assert not why, f"{row.method} {path}{why}"
        self.asked.add(name)
        return answer

    def sent(self, method, path, body):
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        headers["Accept"] = "application/vnd.heroku+json; version=3"
        status, data = self.raw(method, path, None if body is None else json.dumps(body), headers)
        return status, json.loads(data)

    def put(self, url, data):
        status, said = self.raw("PUT", url, data)
        assert status == 200, said


def archive(prefix=""):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in FILES.items():
            about = tarfile.TarInfo(prefix + name)
            about.size, about.mode = len(text), 0o644
            tar.addfile(about, io.BytesIO(text.encode()))
    return packed.getvalue()


@pytest.fixture(scope="module")
def api(platform):
    return Api(platform.ready)


def test_who_and_where_one_is(api):
    who = api("account.info")
    assert api("account.self") == who
    api("account.rate-limits")
    assert api("account.quota", account="~")["id"] == who["id"]
    assert api("account.features") == []
    (one,) = api("authorizations.list")
    assert api("authorizations.info", authorization=one["id"]) == one
    api("authorizations.create", {"description": "shapes"})
    api("sessions.end")
    for kind in ("regions", "stacks", "sizes"):
        for each in api(f"{kind}.list"):
            assert api(f"{kind}.info", **{kind.removesuffix("s"): each["name"]}) == each
    assert api("teams.list") == api("addons.list") == api("attachments.list") == []
    api("status.info")
    api("buildpacks.lookup", buildpack="heroku%2Fpython")


def test_an_app_from_its_first_day_to_its_last(api, platform):
    made = api("apps.create", {"name": "shapes"})
    assert api("apps.info") == made
    assert api("apps.addons") == api("apps.attachments") == []
    (owner,) = api("apps.collaborators")
    assert owner["role"] == "owner"
    assert api("apps.update", {"maintenance": True})["maintenance"] is True
    api("apps.update", {"maintenance": False})
    before = api("apps.info")
    status, refused = api.sent("PATCH", "/apps/shapes", {"name": "other", "build_stack": "cedar-10"})
    assert (status, "cedar-10" in refused["message"]) == (422, True)
    assert api("apps.info") == before  # its name too
    for feature in api("features.list"):
        assert api("features.info", feature=feature["name"]) == feature
        for enabled in (True, False):
            assert api("features.update", {"enabled": enabled}, feature=feature["id"])["enabled"] is enabled
    assert api("buildpacks.list") == api("buildpacks.update", {"updates": []}) == []

    assert api("config.update", {"A": "1", "B": "ä\n"}) == {"A": "1", "B": "ä\n"}
    assert api("config.info") == api("config.of-release", release="v3") == {"A": "1", "B": "ä\n"}

    source = api("sources.create")["source_blob"]
    api.put(source["put_url"], archive())
    begun = api("builds.create", {"source_blob": {"url": source["get_url"], "version": "0123456789"}})
    api.raw("GET", begun["output_stream_url"])  # ends with the build
    assert api("builds.info", build=begun["id"])["status"] == "succeeded"
    assert [one["id"] for one in api("builds.list")] == [begun["id"]]
    assert api("builds.clear-cache") == {}

    release = api("releases.info", release="v4")
    assert (release["description"], release["current"]) == ("Deploy 01234567", True)
    assert b"released release." in api.raw("GET", release["output_stream_url"])[1]
    assert [one["version"] for one in api("releases.list")] == [1, 2, 3, 4]
    slug = api("slugs.info", slug=release["slug"]["id"])
    assert api("apps.info")["slug_size"] == slug["size"]

    types = {"web": WEB, "worker": "exec sleep inf"}
    place = api("slugs.create", {"process_types": types, "commit": "abc", "stack": made["stack"]["name"]})
    api.put(place["blob"]["url"], archive("./app/"))
    assert api("releases.create", {"slug": place["id"], "description": "By hand"})["version"] == 5
    assert api("releases.create", {"release": "v4"})["description"] == "Rollback to v4"
    platform.until(lambda: api("releases.info", release="v6")["status"] == "succeeded", "shapes")
    assert api("apps.list") == api("apps.mine") == [api("apps.info")]

    for row in api("formation.list"):
        assert api("formation.info", type=row["type"]) == row
    api("formation.update", {"updates": [{"type": "worker", "quantity": "+1", "size": "standard-2x"}]})
    api("formation.update-one", {"quantity": 1}, type="web")
    platform.until(lambda: api("dynos.info", dyno="web.1")["state"] == "up", "shapes")
    listed = api("dynos.list")
    assert {one["name"] for one in listed} >= {"web.1", "worker.1"}
    assert "extended" in api("dynos.list", query="?extended=true")[0]
    assert platform.get("shapes")[0] == 200
    api("metrics.router")
    assert api("dynos.create", {"command": "sleep inf", "time_to_live": 5})["attach_url"] is None
    for name, body in (("run-inside", {"command": "true"}), ("forward-url", {"port": 8000})):
        assert api(f"dynos.{name}", body, dyno="web.1")["attach_url"]
    for name, params in (
        ("restart", {"dyno": "web.1"}), ("restart-type", {"type": "worker"}), ("restart-all", {}),
        ("stop", {"dyno": "web.1"}), ("stop-type", {"type": "worker"}),
    ):  # fmt: skip
        assert api(f"dynos.{name}", **params) == {}
    platform.until(lambda: api("dynos.autopsy", dyno="web.1"), "shapes")
    assert api("dynos.why", dyno="web.1")
    assert api("logs.create", {"lines": 5, "tail": False})["logplex_url"]

    host = "www.shapes.example"
    api("domains.create", {"hostname": host, "sni_endpoint": None})
    chains = [
        dict(zip(("certificate_chain", "private_key"), Signer().server(host), strict=True)) for _ in "ab"
    ]
    endpoint = api("sni-endpoints.create", chains[0])
    name = endpoint["name"]
    assert api("sni-endpoints.list") == [endpoint] == [api("sni-endpoints.info", endpoint=name)]
    api("sni-endpoints.update", chains[1], endpoint=name)
    shown = api("domains.update", {"sni_endpoint": name}, domain=host)
    assert shown["sni_endpoint"]["id"] == endpoint["id"]
    assert api("domains.info", domain=host) == shown
    assert len(api("domains.list")) == 2
    api("sni-endpoints.remove", endpoint=name)
    api("domains.remove", domain=host)
    api("domains.create", {"hostname": "*.shapes.example", "sni_endpoint": None})  # no authority is asked
    assert api("acm.enable", {}) == api("acm.refresh", {"acm_refresh": True}) == api("apps.info")
    assert api("acm.disable")["acm"] is False
    assert api("apps.destroy")["id"] == made["id"]


def test_that_was_every_row_that_has_an_answer(api):
    assert api.asked == {name for name, shape in shapes.ANSWERS.items() if shape is not None}
