"""Which buildpacks build an app, and what is said when none can. Pure: fetching is fetch.py's, running is contract.py's."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from slugc.failure import BuildFailed
from slugc.output import alarm, note, push_failed, topic

# Heroku's order (HEROKU.md 3.2) as far as we ship it; `procfile` needs no language and is asked last of all.
DETECT_ORDER = ("nodejs", "python", "procfile")
LANGUAGES = ("nodejs", "python")
_ARTICLE = "https://devcenter.heroku.com/articles/buildpacks"


@dataclass(frozen=True, slots=True)
class Shipped:
    """One of ours, under slugc/packs/."""

    name: str

    def __str__(self) -> str:
        return f"heroku/{self.name}"


@dataclass(frozen=True, slots=True)
class GitPack:
    """A stranger's repository; `ref` is a branch, tag or commit, or empty for what HEAD is."""

    url: str
    ref: str

    def __str__(self) -> str:
        return f"{self.url}#{self.ref}" if self.ref else self.url


@dataclass(frozen=True, slots=True)
class ArchivePack:
    """A stranger's .tgz."""

    url: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class DirectoryPack:
    """A directory that the build dyno can see (a pack in the making, a test's)."""

    path: str

    def __str__(self) -> str:
        return self.path


Pack = Shipped | GitPack | ArchivePack | DirectoryPack


def locate(text: str) -> Pack:
    """Read what `buildpacks:set` takes: a shipped pack's name, a git or .tgz URL; raise BuildFailed."""
    name = text.removeprefix("heroku/").removeprefix("urn:buildpack:heroku/").lower()
    if name in DETECT_ORDER:
        return Shipped(name)
    url, _, ref = text.partition("#")
    if re.match(r"https?://", url):
        if re.search(r"\.(tgz|tar\.gz|tar)(\?.*)?$", url):
            return ArchivePack(url)
        return GitPack(url, ref)
    if url.startswith("file://"):
        path = url.removeprefix("file://")
        if path.endswith((".tgz", ".tar.gz", ".tar")):
            return ArchivePack(url)
        return GitPack(url, ref) if path.endswith(".git") else DirectoryPack(path)
    if url.startswith("/"):
        return DirectoryPack(url)
    names = ", ".join(f"heroku/{each}" for each in DETECT_ORDER)
    raise BuildFailed(
        push_failed(
            alarm(
                f"cannot find buildpack {text}: this machine ships {names}; any other needs its git or .tgz URL"
            )
        )
    )


def announcement(packs: Sequence[Pack]) -> str:
    """Say which packs were asked for."""
    if len(packs) == 1:
        return topic(f"Using buildpack: {packs[0]}")
    rows = "\n".join(note(f"{index}. {pack}") for index, pack in enumerate(packs, 1))
    return f"{topic('Using buildpacks:')}\n{rows}"


def several(names: Sequence[str]) -> str:
    """Warn that more than one language was found."""
    return "\n".join(
        (
            alarm(
                "Warning: Multiple default buildpacks reported the ability to handle this app. "
                "The first buildpack in the list below will be used."
            ),
            f"\t\t\tDetected buildpacks: {','.join(names)}",
            f"\t\t\tSee {_ARTICLE}#buildpack-detect-order",
        )
    )


def no_language() -> BuildFailed:
    return BuildFailed(
        push_failed(
            "\n".join(
                (
                    alarm("No default language could be detected for this app."),
                    "\t\t\tHINT: This occurs when Heroku cannot detect the buildpack to use for this application automatically.",
                    f"\t\t\tSee {_ARTICLE}",
                )
            )
        )
    )


def incompatible(pack: Pack, said: str) -> BuildFailed:
    """A pack that was asked for does not want this app; `said` is what its detect printed."""
    lines = [topic(f"App not compatible with buildpack: {pack}")]
    if said.strip():
        lines.append(note(said.strip("\n")))
    lines += ["", note(f"More info: {_ARTICLE}#detection-failure")]
    return BuildFailed(push_failed("\n".join(lines)))


def failed_to_compile(language: str) -> BuildFailed:
    return BuildFailed(push_failed("\n" + alarm(f"Push rejected, failed to compile {language} app.")))
