"""Sources, builds, buildpacks and slugs."""

import hashlib
import os

from dynod.model.refused import Refusal, Refused
from slugc.buildpacks import DETECT_ORDER
from tests.api.story import GZIP, covers, deploy, made


@covers("sources.create", "builds.create", "builds.info", "builds.list")
async def a_source_is_put_built_and_its_output_read(whole):
    await made(whole)
    build = (await deploy(whole)).body
    assert build["source_blob"]["version"] == "0123456789abcdef"
    assert (await whole.ask("GET", f"/apps/demo/builds/{build['id']}")).body["status"] == "succeeded"
    assert [one["id"] for one in (await whole.ask("GET", "/apps/demo/builds")).body] == [build["id"]]
    output = await whole.ask("GET", build["output_stream_url"], token="")
    assert output.body.startswith(b"-----> Building on the Debian-12 stack\n")
    assert (await whole.ask("GET", "/apps/demo/builds/none")).status == 404


@covers("builds.create")
async def a_build_takes_our_own_sources_only(whole):
    await made(whole)
    nothing = (await whole.ask("POST", "/sources")).body["source_blob"]["get_url"]
    for url in (
        "https://example.com/app.tgz",
        "file:///etc/passwd",
        "http://[",
        nothing,
        f"{nothing}x",
        "",
        5,
    ):
        answer = await whole.ask("POST", "/apps/demo/builds", {"source_blob": {"url": url}})
        assert answer.status in {404, 422}, url
    assert (await whole.ask("POST", "/apps/demo/builds", {})).status == 422
    good, bad = hashlib.sha256(GZIP).hexdigest(), "0" * 64
    assert (await deploy(whole, checksum=f"SHA256:{bad}")).status == 422
    assert (await deploy(whole, checksum=f"SHA256:{good}")).status == 201


@covers("builds.create")
async def a_build_that_is_refused_leaves_nothing_but_its_source_for_the_next(whole):
    async def busy(*_):
        raise Refused(Refusal.CONFLICT, "cannot build app demo: another build of it is running")

    await made(whole)
    before, starts = set(os.listdir(f"{whole.state}/uploads")), whole.platform.start_build
    whole.platform.start_build = busy
    try:
        assert (await deploy(whole)).status == 409
    finally:
        whole.platform.start_build = starts
    (left,) = set(os.listdir(f"{whole.state}/uploads")) - before
    assert left.endswith(".source")


@covers("builds.clear-cache")
async def the_build_cache_is_cleared(whole):
    await made(whole)
    assert (await whole.ask("DELETE", "/apps/demo/build-cache")).status == 200
    assert ("clear_cache", "demo") in whole.platform.done


@covers("buildpacks.update")
async def a_buildpack_that_no_build_could_find_is_refused_when_it_is_set(whole):
    await made(whole)
    path = "/apps/demo/buildpack-installations"
    addresses = ["https://a.example/b.git#main", "http://a.example/b.tgz", "file:///b", "/b", "python"]
    known = [*addresses, *(f"heroku/{name}" for name in DETECT_ORDER)]
    answer = await whole.ask("PUT", path, {"updates": [{"buildpack": each} for each in known]})
    assert [one["buildpack"]["url"] for one in answer.body] == known
    for name in ("heroku/ruby", "some/python", "urn:buildpack:some/pack"):
        answer = await whole.ask("PUT", path, {"updates": [{"buildpack": "python"}, {"buildpack": name}]})
        assert (answer.status, answer.body["id"]) == (422, "invalid_params")
        shipped = "this machine ships heroku/nodejs, heroku/python, heroku/procfile; "
        assert shipped in answer.body["message"]
    assert len((await whole.ask("GET", path)).body) == len(known)


@covers("buildpacks.list", "buildpacks.update")
async def buildpacks_are_replaced_as_a_whole(whole):
    await made(whole)
    updates = [{"buildpack": "heroku/nodejs"}, {"buildpack": "urn:buildpack:heroku/python"}]
    answer = await whole.ask("PUT", "/apps/demo/buildpack-installations", {"updates": updates})
    assert [(one["ordinal"], one["buildpack"]["url"]) for one in answer.body] == [
        (0, "heroku/nodejs"),
        (1, "heroku/python"),
    ]
    assert (await whole.ask("GET", "/apps/demo/buildpack-installations")).body == answer.body
    for body in ({}, {"updates": "x"}, {"updates": [1]}, {"updates": [{}]}):
        assert (await whole.ask("PUT", "/apps/demo/buildpack-installations", body)).status == 422


@covers("slugs.create", "slugs.info")
async def a_slug_made_elsewhere_is_announced_put_and_released(whole):
    await made(whole)
    announced = await whole.ask(
        "POST", "/apps/demo/slugs", {"process_types": {"web": "./serve"}, "commit": "abc"}
    )
    ident, blob = announced.body["id"], announced.body["blob"]
    early = await whole.ask("POST", "/apps/demo/releases", {"slug": ident})
    assert (early.status, "PUT" in early.body["message"]) == (422, True)
    assert (await whole.ask("PUT", blob["url"], b"no gzip", token="")).status == 422
    assert (await whole.ask(blob["method"].upper(), blob["url"], GZIP, token="")).status == 200
    assert (await whole.ask("PUT", blob["url"], GZIP, token="")).status == 409
    released = await whole.ask("POST", "/apps/demo/releases", {"slug": ident})
    assert (released.status, released.body["version"]) == (201, 3)
    info = (await whole.ask("GET", f"/apps/demo/slugs/{ident}")).body
    assert info["process_types"] == {"web": "./serve"}
    assert info["checksum"] == f"SHA256:{hashlib.sha256(GZIP).hexdigest()}"
    assert (await whole.ask("GET", info["blob"]["url"], token="")).body == GZIP
    said = {
        "commit": "a\nb",
        "commit_description": "\n",
        "buildpack_provided_description": "\n",
        "checksum": "\n",
    }
    lines = await whole.ask("POST", "/apps/demo/slugs", {"process_types": {"web": "a\nb"}, **said})
    assert {name: lines.body[name] for name in said} == said
    for body in ({}, {"process_types": {}}, {"process_types": {"web": 1}}, {"process_types": {"a b": "x"}}):
        assert (await whole.ask("POST", "/apps/demo/slugs", body)).status == 422
    assert (await whole.ask("GET", "/apps/demo/slugs/none")).status == 404
