"""What a build is told before it begins: what people set counts inside it too."""

import json

from dynod.engine.builds import request
from dynod.engine.platform import BuildAsk
from dynod.model.app import Account, App, AppId, AppName
from dynod.model.release import BuildId
from dynod.model.settings import Settings
from slugc.manifest import BuildRequest

APP = App(
    AppId("a1"), AppName("demo"), Account("u1", "me@localhost"), 0.0, 0.0, "debian-12", "debian-12",
    buildpacks=("heroku/python",),
)  # fmt: skip


def told(settings=None, **ask):
    ask = BuildAsk(**{"source": "/x.tar", "commit": "1a2b", "description": "", **ask})
    return BuildRequest.from_json(json.dumps(request(settings or Settings(), APP, BuildId("b1"), ask)))


def test_the_bytes_that_a_push_may_have_are_those_of_the_settings():
    said = told(Settings(checkout_bytes=1000, slug_bytes=2000))
    assert (said.checkout_bytes, said.slug_bytes) == (1000, 2000)


def test_the_buildpacks_of_one_build_come_before_the_app_s():
    assert told().buildpacks == ("heroku/python",)
    assert told(buildpacks=("heroku/nodejs",)).buildpacks == ("heroku/nodejs",)
