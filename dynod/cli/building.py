"""The rows of the table of verbs (verbs.py) that are about builds and what they are made with."""

from dynod.cli.options import Flag, Verb

_PLACE = Flag("index", "its place in the list, from 1", short="i", value="N")
_PACK = ("BUILDPACK", 1, 1)  # words, least, most

BUILDING: tuple[Verb, ...] = (
    Verb("buildpacks", "buildpacks:buildpacks", "list the buildpacks on an app", reads=True),
    Verb(
        "buildpacks:add",
        "buildpacks:add",
        "add a buildpack, at the end of the list or at a place in it",
        *_PACK,
        flags=(_PLACE,),
    ),
    Verb("buildpacks:clear", "buildpacks:clear", "clear all buildpacks set on the app"),
    Verb(
        "buildpacks:remove",
        "buildpacks:remove",
        "remove a buildpack set on the app, by its name or its place",
        words="[BUILDPACK]",
        most=1,
        flags=(_PLACE,),
    ),
    Verb(
        "buildpacks:set",
        "buildpacks:set_one",
        "put a buildpack in the place of the first, or of another",
        *_PACK,
        flags=(_PLACE,),
    ),
    Verb("builds", "builds:builds", "list builds, the newest first", reads=True),
    Verb("builds:info", "builds:info", "show a build", words="[BUILD]", most=1, reads=True),
    Verb(
        "builds:output",
        "builds:output",
        "print what a build said, live while it runs",
        words="[BUILD]",
        most=1,
    ),
)
