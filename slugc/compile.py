"""One build, from BUILD_ROOT/source.tar to BUILD_ROOT/out/: the straight story that runs inside the build dyno.

BUILD_ROOT holds source.tar, env/ (one file per config var), request.json and an empty out/; CACHE_DIR is kept for the app's next
build. Prints Heroku's transcript from `Building on` to `Done:`. Debian's own python3 runs this with the standard library
alone. What is fixed on Heroku can be moved for tests: /app by SLUGC_APP_DIR, /tmp by TMPDIR.
"""

import errno
import os
from dataclasses import dataclass

from slugc import buildpacks, cache, contract, procfile, source, tarball
from slugc.buildpacks import Shipped
from slugc.failure import BuildFailed
from slugc.fetch import Installed, install
from slugc.manifest import BuildRequest, Manifest
from slugc.output import alarm, human_size, note, push_failed, say, topic
from slugc.release_yaml import ReleaseInfo

_NO_FILE = {errno.ENOENT, errno.EISDIR, errno.ELOOP}  # a Procfile may be anything that git can hold
SOFT_LIMIT = 300 * 1024**2  # compressed, HEROKU.md 3.1


@dataclass(frozen=True, slots=True)
class Rooms:
    """Where a build happens."""

    root: str
    build: str
    cache: str
    packs: str
    env: dict[str, str]

    @property
    def arguments(self) -> tuple[str, str, str]:
        return self.build, self.cache, f"{self.root}/env"


@dataclass(frozen=True, slots=True)
class Built:
    """What the packs made of the app; `language` is the last one's word for itself."""

    language: str
    packs: tuple[str, ...]
    detected: bool
    info: ReleaseInfo


def main(build_root: str, cache_dir: str) -> int:
    """Build; return the exit status."""
    try:
        _build(os.path.abspath(build_root), os.path.abspath(cache_dir))
    except BuildFailed as failed:
        say(str(failed))
        return 1
    return 0


def _build(build_root: str, cache_dir: str) -> None:
    with open(f"{build_root}/request.json", encoding="utf-8") as file:
        request = BuildRequest.from_json(file.read())
    temporary = os.environ.get("TMPDIR", "/tmp")
    build_dir = f"{temporary}/build_{os.urandom(4).hex()}"
    env = contract.environment(request, os.environ.get("SLUGC_APP_DIR", "/app"), os.environ)
    rooms = Rooms(build_root, build_dir, cache_dir, f"{temporary}/buildpacks_{os.urandom(4).hex()}", env)

    say(topic(f"Building on the {request.stack[:1].upper()}{request.stack[1:]} stack"))
    kept = cache.open_cache(cache_dir, request.stack)
    os.mkdir(rooms.packs)
    os.mkdir(build_dir, 0o755)
    try:
        pushed = source.unpack(f"{build_root}/source.tar", build_dir, request.checkout_bytes)
    except source.BadArchive as error:
        raise BuildFailed(push_failed(alarm(f"cannot unpack the source: {error}"))) from error
    epoch = kept.epoch_for(pushed)
    source.set_dates(build_dir, epoch)
    if said := source.drop_ignored(build_dir):
        say(said)
    if kept.cleared_of:
        say(topic(f"Clearing the build cache, it was made on {kept.cleared_of}"))

    built = _chosen(request, rooms) if request.buildpacks else _detected(rooms)
    kept.remember(pushed)
    types = _process_types(rooms, built)
    say()
    packed = _compress(rooms, epoch, request.slug_bytes)
    manifest = Manifest(
        process_types=types,
        buildpack=built.language,
        buildpacks=built.packs,
        detected=built.detected,
        size=packed.size,
        sha256=packed.sha256,
        unpacked=packed.unpacked,
        addons=built.info.addons,
        config_vars=dict(built.info.config_vars),
    )
    with open(f"{build_root}/out/manifest.json", "w", encoding="utf-8") as file:
        file.write(manifest.to_json())


def _detected(rooms: Rooms) -> Built:
    """Nobody said which pack: ask ours, in Heroku's order."""
    say(topic("Determining which buildpack to use for this app"))
    found: list[tuple[Installed, str]] = []
    for name in buildpacks.DETECT_ORDER:
        if found and name not in buildpacks.LANGUAGES:
            break
        pack = install(Shipped(name), f"{rooms.packs}/{name}")
        if language := contract.detect(pack, rooms.build, rooms.env).name:
            found.append((pack, language))
    if not found:
        raise buildpacks.no_language()
    if len(found) > 1:
        say(buildpacks.several([language for _, language in found]))
    pack, language = found[0]
    _compile(rooms, pack, language, ())
    return Built(language, (str(pack.pack),), True, contract.release(pack, rooms.build, rooms.env))


def _chosen(request: BuildRequest, rooms: Rooms) -> Built:
    """The app's own list: each must want the app, each compiles, the last one gives the defaults."""
    packs = [buildpacks.locate(text) for text in request.buildpacks]
    say(buildpacks.announcement(packs))
    exports: list[str] = []
    for index, pack in enumerate(packs, 1):
        installed = install(pack, f"{rooms.packs}/{index}")
        detected = contract.detect(installed, rooms.build, rooms.env)
        if not detected.name:
            raise buildpacks.incompatible(pack, detected.said)
        _compile(rooms, installed, detected.name, exports)
        if export := contract.export_of(installed):
            exports.append(export)
    info = contract.release(installed, rooms.build, rooms.env)
    return Built(detected.name, tuple(str(pack) for pack in packs), False, info)


def _compile(rooms: Rooms, pack: Installed, language: str, exports: list[str] | tuple[()]) -> None:
    say(topic(f"{language} app detected"))
    if not contract.compile_app(pack, rooms.arguments, rooms.env, exports):
        raise buildpacks.failed_to_compile(language)


def _process_types(rooms: Rooms, built: Built) -> dict[str, str]:
    try:
        with open(f"{rooms.build}/Procfile", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        text = ""
    declared, defaults = procfile.parse(text), dict(built.info.default_process_types)
    say(procfile.discovery(declared, defaults))
    if warning := procfile.left_out(text):
        say(warning)
    return procfile.filled(declared, defaults)


def _compress(rooms: Rooms, epoch: int, limit: int) -> tarball.Packed:
    say(topic("Compressing..."))
    packed = tarball.pack(rooms.build, f"{rooms.root}/out/slug.tgz", epoch, limit)
    for name in packed.dropped:
        say(alarm(f"Warning: left out of the slug, it is a socket, pipe or device: {name}"))
    if packed.size > limit:
        os.unlink(f"{rooms.root}/out/slug.tgz")
        raise BuildFailed(
            push_failed(
                alarm(
                    f"Compiled slug size: {human_size(packed.size)} is too large (max is {human_size(limit)}).\n"
                    "See: https://devcenter.heroku.com/articles/slug-size"
                )
            )
        )
    say(note(f"Done: {human_size(packed.size)}"))
    if packed.size > SOFT_LIMIT:
        say(
            alarm(
                f"Warning: Your slug size ({packed.size // 1024**2} MB) exceeds our soft limit "
                f"({SOFT_LIMIT // 1024**2} MB) which may affect boot time."
            )
        )
    return packed
