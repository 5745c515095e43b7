"""Which buildpacks an app is built with, in order; the texts are those of Heroku's CLI."""

from collections.abc import Sequence

from dynod.cli import page
from dynod.cli.options import Usage, usage
from dynod.cli.session import Session
from dynod.model.refused import Refusal, Refused


def buildpacks(session: Session) -> None:
    """As `heroku buildpacks`."""
    rows = session.app_call("buildpacks.list")
    if session.given.on("json"):
        page.as_json(rows)
        return
    app = page.app(session.app)
    if not rows:
        print(f"{app} has no Buildpacks.")
        return
    several = "s" if len(rows) > 1 else ""
    page.heading(f"{app} Classic Buildpack{several} (from the Heroku Buildpack Registry)")
    _show([row["buildpack"]["url"] for row in rows], "")


def add(session: Session) -> None:
    """As `heroku buildpacks:add`: a place beyond the end is the end."""
    packs, pack = _others(session)
    place = session.given.number("index", len(packs) + 1)
    _put(session, [*packs[: place - 1], pack, *packs[place - 1 :]], "added")


def set_one(session: Session) -> None:
    """As `heroku buildpacks:set`: a place beyond the end is the end."""
    packs, pack = _others(session)
    place = session.given.number("index", 1)
    _put(session, [*packs[: place - 1], pack, *packs[place:]], "set")


def remove(session: Session) -> None:
    """As `heroku buildpacks:remove`."""
    if bool(session.given.words) is bool(session.given.text("index")):
        raise Usage(
            f"cannot tell which buildpack is meant: name it or its place; {usage(session.given.verb)}"
        )
    packs = _packs(session)
    if not packs:
        app = page.app(session.app)
        raise Refused(
            Refusal.NOT_FOUND,
            f"No buildpacks were found. Next release on {app} will detect buildpack normally.",
        )
    place = _place(session, packs)
    _put(session, [*packs[: place - 1], *packs[place:]], "removed")


def clear(session: Session) -> None:
    """As `heroku buildpacks:clear`."""
    session.app_call("buildpacks.update", {"updates": []})
    _detected(session, "Buildpacks cleared.")


def _packs(session: Session) -> list[str]:
    return [row["buildpack"]["url"] for row in session.app_call("buildpacks.list")]


def _others(session: Session) -> tuple[list[str], str]:
    """Those there are, and the one that is meant, which must not be among them."""
    packs, pack = _packs(session), session.given.words[0]
    if pack in packs:
        raise Refused(Refusal.INVALID, f"The buildpack {pack} is already set on your app.")
    return packs, pack


def _place(session: Session, packs: Sequence[str]) -> int:
    """Find which is to be removed, from 1."""
    if session.given.words:
        if session.given.words[0] not in packs:
            raise Refused(Refusal.NOT_FOUND, "Buildpack not found. Nothing was removed.")
        return packs.index(session.given.words[0]) + 1
    place = session.given.number("index", 1)
    if place > len(packs):
        some = (
            f"Please choose a value between 1 and {len(packs)}"
            if len(packs) > 1
            else "Only valid value is 1."
        )
        raise Refused(Refusal.INVALID, f"Invalid index. {some}")
    return place


def _put(session: Session, packs: Sequence[str], what: str) -> None:
    session.app_call("buildpacks.update", {"updates": [{"buildpack": pack} for pack in packs]})
    if not packs:
        _detected(session, f"Buildpack {what}.")
        return
    said = f"Buildpack {what}. Next release on {page.app(session.app)} will use"
    if len(packs) == 1:
        print(f"{said} {packs[0]}.")
    else:
        print(f"{said}:")
        _show(packs, "  ")
    these = "this buildpack" if len(packs) == 1 else "these buildpacks"
    print(
        f"Run git push {session.given.text('remote') or 'heroku'} main to create a new release using {these}."
    )


def _detected(session: Session, done: str) -> None:
    print(f"{done} Next release on {page.app(session.app)} will detect buildpacks normally.")


def _show(packs: Sequence[str], indent: str) -> None:
    for number, pack in enumerate(packs, 1):
        print(pack if len(packs) == 1 else f"{indent}{number}. {pack}")
