"""How a story of the API begins: the rows that it covers, and an app to tell it of. The stories are in stories/, by subject."""

from dynod.api.operations import OPERATIONS

CASES = {}
GZIP = b"\x1f\x8b a tarball, as far as the fake can tell"


def covers(*names):
    """Mark a story as the test of these rows."""

    def mark(story):
        for name in names:
            assert name in {row.name for row in OPERATIONS}, f"{name} is no row"
            CASES.setdefault(name, []).append(story)
        return story

    return mark


async def made(whole, name="demo", *, deployed=False):
    """Return a fresh app, of that name whatever was before."""
    for app in list(whole.platform.apps()):
        await whole.platform.destroy_app(None, app)
    whole.platform.done.clear()
    answer = await whole.ask("POST", "/apps", {"name": name})
    assert answer.status == 201
    if deployed:
        await deploy(whole, name)
    return answer.body


async def deploy(whole, name="demo", version="0123456789abcdef", **blob):
    source = (await whole.ask("POST", "/sources")).body["source_blob"]
    put = await whole.ask("PUT", source["put_url"], GZIP, token="")
    assert put.status == 200
    body = {"source_blob": {"url": source["get_url"], "version": version, **blob}}
    return await whole.ask("POST", f"/apps/{name}/builds", body)
