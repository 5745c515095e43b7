"""From a source tarball to a release: a build dyno compiles, the slug is checked and unpacked, the ledger gets its entries.

What happens inside the build dyno is slugc/'s; what a slug may hold is host/slugs.py's. Here is the order of things, what the
pusher reads, and that a failure at any point leaves the running release alone and nothing behind.
"""

import asyncio
import contextlib
import json
import os
import shutil
import stat
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from dynod.core import changes, metadata
from dynod.core.effects import SIGKILL
from dynod.core.launch import build_plan
from dynod.core.ledger import AppState
from dynod.engine import doors
from dynod.engine.attach import read_all
from dynod.engine.doors import Door
from dynod.engine.outputs import Output
from dynod.engine.platform import BuildAsk, SlugAsk
from dynod.engine.tidy import tidy
from dynod.host.slugs import Stored
from dynod.model.app import Account, App, AppId
from dynod.model.domain import web_url
from dynod.model.dyno import DynoId
from dynod.model.entry import BuildSettled, Payload, SlugAdded
from dynod.model.formation import process_type
from dynod.model.refused import Refusal, Refused, disk_refusal
from dynod.model.release import BuildId, BuildStatus, Release, ReleaseId, ReleaseStatus, Slug, SlugId
from dynod.model.settings import Settings
from dynod.removal import remove_tree

if TYPE_CHECKING:
    from dynod.engine.house import House


PLAIN = "heroku/procfile"
CACHE = "cache.tar"  # goes in with the source, and comes out by a door like the rest
MANIFEST_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Compiled:
    """What slugc says it made."""

    process_types: dict[str, str]
    buildpack: str
    pin: tuple[str, ...]  # buildpacks that were found, to be used from now on (HEROKU.md 3.2)


async def fail(house: "House", actor: Account, app: AppId, build: BuildId) -> None:
    """Settle a build that failed; where the disk is full, as soon as there is room."""

    async def settle() -> None:
        await house.books.commit(actor, app, lambda ledger: changes.fail_build(ledger.apps.get(app), build))

    await house.unwritten.write(("build", build), settle)


def _prepare(
    root: str,
    cache: str,
    ask: BuildAsk,
    asked: dict[str, Any],
    env: dict[str, str],
    uid: int,
    limits: Mapping[str, int],
) -> None:
    os.makedirs(f"{root}/env", mode=0o700)
    doors.make(f"{root}/doors", limits)
    with contextlib.suppress(FileNotFoundError):
        os.link(f"{cache}/{CACHE}", f"{root}/{CACHE}")
    shutil.move(ask.source, f"{root}/source.tar")
    with open(f"{root}/request.json", "w", encoding="utf-8") as file:
        json.dump(asked, file)
    for key, value in env.items():
        fd = os.open(f"{root}/env/{key}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(value)
    if os.geteuid() == 0:
        for directory, _, files in os.walk(root):
            os.chown(directory, uid, uid)
            for name in files:
                os.chown(os.path.join(directory, name), uid, uid, follow_symlinks=False)


def made_file(root: str, name: str) -> BinaryIO:
    """Open what a build put into its `out`. A stranger made all of it: no link is followed, and nothing but a file is waited for."""
    out = os.open(f"{root}/out", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=out)
    finally:
        os.close(out)
    file = os.fdopen(fd, "rb")
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        file.close()
        raise ValueError(f"the build's {name} is no file")
    return file


def _result(root: str) -> Compiled:
    with made_file(root, "manifest.json") as file:
        said = file.read(MANIFEST_BYTES)
    try:
        manifest = json.loads(said)
        types = {str(process_type(key)): str(value) for key, value in manifest["process_types"].items()}
        found = [str(pack) for pack in manifest.get("buildpacks", ())] if manifest.get("detected") else []
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"the build's manifest.json says nothing that is known: {error!r}") from error
    # The plain pack is no choice: an app that gains a package.json later is to be found out anew.
    pin = tuple(found) if found != [PLAIN] else ()
    return Compiled(types, str(manifest.get("buildpack", "")), pin)


def _keep(made: Door, cache: str) -> None:
    """Put the cache in the place of the one before; one that is too big, or of before there was a limit, goes."""
    with contextlib.suppress(FileNotFoundError), os.scandir(cache) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            elif entry.name != CACHE or made.is_over:
                os.unlink(entry.path)
    if made.size and not made.is_over and made.error is None:
        os.makedirs(cache, mode=0o700, exist_ok=True)
        os.replace(made.path, f"{cache}/{CACHE}")


async def _compile(house: "House", app: App, build: BuildId, root: str, output: Output) -> int:
    """Run slugc in a build dyno, its output into the transcript; return its exit status."""
    machine = house.machine
    dyno = DynoId(build)
    ending: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    house.waits[dyno] = ending
    booted = False
    try:
        wiring = await machine.take(build)
        plan = build_plan(
            build,
            app.id,
            app.name,
            house.draw.number(),
            root,
            machine.programs,
            house.settings.build_memory,
            house.settings.build_disk,
            machine.ground,
            wiring,
            machine.stack_env,
        )
        house.launching.add(dyno)
        try:
            stdin, stdout = (await machine.boot(plan)).fds
        finally:
            house.launching.discard(dyno)
        booted = True
        os.close(stdin)
        if app.id not in house.ledger.apps:
            await machine.signal(build, SIGKILL)  # it was destroyed meanwhile
        try:
            async with asyncio.timeout(house.settings.build_timeout):
                async for data in read_all(stdout):
                    output.write(data)
                return await asyncio.shield(ending)
        except TimeoutError:
            minutes = house.settings.build_timeout / 60
            output.line(f" !     Build timed out after {minutes:g} minutes; nothing was released")
            return 1
        finally:
            os.close(stdout)
    finally:
        if booted and not ending.done():
            await machine.signal(build, SIGKILL)
            await ending
        house.waits.pop(dyno, None)
        await machine.give_back(build, booted=booted)


@contextlib.asynccontextmanager
async def stored_slug(house: "House", source: BinaryIO | str) -> AsyncIterator[Stored]:
    """Check, keep and unpack a slug; until the block is left, tidying lets it be. Raise Refused."""
    stored = await asyncio.to_thread(house.slugs.store, source)
    house.incoming.add(stored.sha256)
    try:
        try:
            await asyncio.to_thread(house.slugs.unpack, stored.sha256)
        except BaseException:
            await asyncio.to_thread(house.slugs.remove, stored.sha256)
            raise
        yield stored
    finally:
        house.incoming.discard(stored.sha256)


def _launching(output: Output, house: "House", app: App, release: Release) -> None:
    output.line("-----> Launching...")
    if release.status is ReleaseStatus.PENDING:
        output.line(
            " !     Release command declared: this new release will not be available until the command succeeds."
        )
    output.line(f"       Released v{release.version}")
    settings = house.settings
    output.line(f"       {web_url(app.name, settings.domain, settings.router.port)} deployed to Heroku")
    output.line()
    output.line("Verifying deploy... done.")


async def _follow_phase(house: "House", app: App, release: Release, output: Output) -> None:
    output.write(b"Running release command....\n")
    async for data in house.outputs.follow(release.id):
        output.write(data)
    settled = house.release(app, release.id).status
    output.line(f"Waiting for release.... {'done' if settled is ReleaseStatus.SUCCEEDED else 'failed'}.")


async def _release(
    house: "House",
    actor: Account,
    app: App,
    build: BuildId,
    ask: BuildAsk,
    made: Compiled,
    archive: BinaryIO,
) -> Release:
    async with stored_slug(house, archive) as stored:
        slug = Slug(
            SlugId(house.draw.new_id()),
            stored.sha256,
            stored.size,
            ask.commit,
            ask.description,
            {process_type(key): value for key, value in made.process_types.items()},
            house.state(app).app.build_stack,
            made.buildpack,
            house.now().wall,
        )
        release_id = ReleaseId(house.draw.new_id())

        def rule(state: AppState) -> Sequence[Payload]:
            description = changes.deploy_description(ask.commit)
            payloads = changes.deploy(state, slug, description, release_id, house.draw.new_id)
            pinned = changes.set_buildpacks(state, made.pin) if made.pin and not state.app.buildpacks else ()
            settled = BuildSettled(build, BuildStatus.SUCCEEDED, slug.id, release_id, made.buildpack)
            return (*pinned, *payloads, settled)

        release = await house.releasing(actor, app, rule)
    house.tasks.spawn(tidy(house))
    assert release is not None
    return release


def request(settings: Settings, app: App, build: BuildId, ask: BuildAsk) -> dict[str, Any]:
    """What slugc is told (slugc/manifest.py: BuildRequest): what to build, and what it may come to."""
    return {
        "app": app.name,
        "stack": app.build_stack,
        "commit": ask.commit,
        "request_id": build,
        "buildpacks": list(ask.buildpacks or app.buildpacks),
        "checkout_bytes": settings.checkout_bytes,
        "slug_bytes": settings.slug_bytes,
    }


async def _built(
    house: "House", app: App, build: BuildId, root: str, ask: BuildAsk, output: Output
) -> Compiled | None:
    """Build, and keep the cache; None where the transcript has said already why there is no slug."""
    settings, state = house.settings, house.state(app)
    config = {**state.config, **metadata.of_build(state, ask.commit, settings.domain)}
    cache = f"{settings.state}/cache/{app.id}"
    limits = {"manifest.json": MANIFEST_BYTES, "slug.tgz": settings.slug_bytes, CACHE: settings.cache_bytes}
    asked = request(settings, app, build, ask)
    await asyncio.to_thread(_prepare, root, cache, ask, asked, config, settings.uid_first - 1, limits)
    async with doors.doors(f"{root}/doors", f"{root}/out", limits, house.tasks.spawn) as taken:
        status = await _compile(house, app, build, root, output)
    if status != 0:
        return None
    for name in ("manifest.json", "slug.tgz"):
        taken[name].found()
    made = await asyncio.to_thread(_result, root)
    await asyncio.to_thread(_keep, taken[CACHE], cache)
    if taken[CACHE].is_over:
        output.line(
            f" !     Warning: the build cache is larger than {settings.cache_bytes // 1024**2}M and was thrown away; "
            "the next build begins without one"
        )
    return made


async def run(house: "House", actor: Account, app: App, build: BuildId, ask: BuildAsk) -> None:
    """Build and release; whatever happens, the build is settled, its transcript ends, and its directory is gone."""
    root = f"{house.settings.state}/builds/{build}"
    output = house.outputs.current(build)
    assert output is not None
    try:
        os.makedirs(root, mode=0o700)
        made = await _built(house, app, build, root, ask, output)
        if made is None:
            await fail(house, actor, app.id, build)
            return
        with made_file(root, "slug.tgz") as archive:
            release = await _release(house, actor, app, build, ask, made, archive)
        _launching(output, house, app, release)
        if release.status is ReleaseStatus.PENDING:
            await _follow_phase(house, app, release, output)
    except (Refused, OSError, ValueError, KeyError, RuntimeError) as error:
        output.line(f" !     {disk_refusal(error) or error}")
        output.line(" !     Push failed")
        await fail(house, actor, app.id, build)
    except Exception:  # a bug, which must not keep the app from building until a restart
        output.line(" !     dynod itself has failed, its log says how")
        output.line(" !     Push failed")
        await fail(house, actor, app.id, build)
        raise
    finally:
        house.outputs.close(build)
        with contextlib.suppress(OSError):
            os.unlink(ask.source)  # it was not taken; what cannot be removed is swept away with the uploads
        with contextlib.suppress(OSError):  # tidying comes by again
            await asyncio.to_thread(remove_tree, root)


async def add_slug(house: "House", actor: Account, app: App, ask: SlugAsk) -> Slug:
    """Take a slug that was made elsewhere (`POST /apps/{app}/slugs`)."""
    async with stored_slug(house, ask.path) as stored:
        if ask.checksum and ask.checksum.upper() != f"SHA256:{stored.sha256}".upper():
            raise Refused(
                Refusal.INVALID,
                f"cannot take slug: its checksum is SHA256:{stored.sha256}, not {ask.checksum}",
            )
        slug = Slug(
            SlugId(house.draw.new_id()),
            stored.sha256,
            stored.size,
            ask.commit,
            ask.commit_description,
            {process_type(key): value for key, value in ask.process_types.items()},
            ask.stack or app.stack,
            ask.buildpack,
            house.now().wall,
        )
        await house.change(actor, app, lambda _: (SlugAdded(slug),))  # which may be no more after all that
    return slug
