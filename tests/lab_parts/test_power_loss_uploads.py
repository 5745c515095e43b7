"""The power goes after an upload was answered: what was announced and what was sent are there, and the URLs that were handed out hold good."""

import io
import json
import ssl
import tarfile
import urllib.error
import urllib.parse
import urllib.request

import pytest

from tests.lab_parts.disk import Disk, started

pytestmark = [pytest.mark.linux("mkfs.btrfs", "mkfs.ext4"), pytest.mark.e2e, pytest.mark.timeout(600)]

JSON = {"Accept": "application/vnd.heroku+json; version=3", "Content-Type": "application/json"}


@pytest.fixture
def disk(tmp_path):
    tmp_path.chmod(0o755)  # dynos' users pass through
    made = Disk(tmp_path)
    yield made
    made.close()


def ask(platform, method, path, body):
    """Return (status, body) of one request to the API; of a URL that is its own permission by its path, since the port is a new one."""
    ready = platform.ready
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    headers = {} if path.startswith("/blobs/") else {**JSON, "Authorization": f"Bearer {ready['token']}"}
    asked = urllib.request.Request(ready["api"] + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(
            asked, timeout=120, context=ssl.create_default_context(cafile=ready["ca"])
        ) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def made(platform, path, body=None):
    status, said = ask(platform, "POST", path, body)
    assert status == 201, said
    return json.loads(said)


def path_of(url):
    return urllib.parse.urlsplit(url).path


def archive(text):
    """A slug with one file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, kind, data in (
            ("./app", tarfile.DIRTYPE, b""),
            ("./app/page", tarfile.REGTYPE, text.encode()),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.size = kind, 0o755, len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


SLUG = {"process_types": {"worker": "true"}}


def test_a_source_that_was_sent_and_a_slug_that_was_announced_are_good_for_what_comes_next(disk):
    with started(disk.base) as platform:
        platform.dyno("create", "hello", "-n")
        source = made(platform, "/sources")["source_blob"]
        assert ask(platform, "PUT", path_of(source["put_url"]), b"a source")[0] == 200
        slug = made(platform, "/apps/hello/slugs", SLUG)
        disk.clone("cut")
    disk.take("cut")
    with started(disk.base) as platform:
        assert ask(platform, "GET", path_of(source["get_url"]), None) == (200, b"a source")
        assert ask(platform, "PUT", path_of(slug["blob"]["url"]), archive("announced"))[0] == 200
        made(platform, "/apps/hello/releases", {"slug": slug["id"]})


def test_a_slug_whose_blob_came_can_be_released(disk):
    with started(disk.base) as platform:
        platform.dyno("create", "hello", "-n")
        slug = made(platform, "/apps/hello/slugs", SLUG)
        assert ask(platform, "PUT", path_of(slug["blob"]["url"]), archive("sent"))[0] == 200
        disk.clone("cut")
    disk.take("cut")
    with started(disk.base) as platform:
        made(platform, "/apps/hello/releases", {"slug": slug["id"]})
