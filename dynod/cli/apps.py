"""Verbs about apps as a whole: make, list, show, rename, delete, maintenance."""

from collections import Counter
from typing import Any

from dynod.cli import page
from dynod.cli.confirm import confirm
from dynod.cli.git import forget_remotes, point_remote
from dynod.cli.options import Usage
from dynod.cli.session import Session, git


def apps(session: Session) -> None:
    """As `heroku apps`."""
    rows = sorted(session.call("apps.list"), key=lambda row: str(row["name"]))
    if session.given.on("json"):
        page.as_json(rows)
    elif not rows:
        print("You have no apps.")
    else:
        page.heading(f"{session.call('account.info')['email']} Apps")
        for row in rows:
            print(row["name"])


def create(session: Session) -> None:
    """As `heroku apps:create`."""
    given = session.given
    name = given.words[0] if given.words else ""
    body = {key: value for key, value in (("name", name), ("stack", given.text("stack"))) if value}
    remote = given.text("remote", "heroku")
    wanted = not given.on("no-remote") and git("rev-parse", "--git-dir") is not None
    if wanted and git("check-ref-format", f"refs/remotes/{remote}/main") is None:
        raise Usage(f"cannot make a git remote {remote!r}: git takes no such name")
    with page.action(f"Creating {page.app(name) if name else 'app'}") as doing:
        made = session.call("apps.create", body)
        doing.says = "done" if name else f"done, {page.app(made['name'])}"
        if given.text("stack"):
            doing.says += f", stack is {made['stack']['name']}"
    if given.text("buildpack"):
        with page.action(f"Setting buildpack to {given.text('buildpack')}"):
            session.call(
                "buildpacks.update",
                {"updates": [{"buildpack": given.text("buildpack")}]},
                app=made["name"],
            )
    if wanted:
        _remote(session, made["name"], remote)
    if given.on("json"):
        page.as_json(made)
    else:
        print(f"{made['web_url']} | {session.git_url(made['name'])}")


def _remote(session: Session, app: str, name: str) -> None:
    """Make the git remote; one of that name that leads elsewhere stays as it is, as with Heroku's CLI."""
    there = (git("remote", "get-url", name) or "").strip()
    if there in {"", session.git_url(app)}:
        point_remote(session, app, name)
    else:
        page.warn(
            f"the git remote {name} is {there} and stays so: git push {name} goes there. "
            f"To turn it here, run: dyno git:remote -a {app}{'' if name == 'heroku' else f' -r {name}'}"
        )


def info(session: Session) -> None:
    """As `heroku apps:info`."""
    app = session.call("apps.info", app=session.named_app() or session.app)
    dynos = session.call("dynos.list", app=app["name"])
    if session.given.on("json"):
        page.as_json({"app": app, "dynos": dynos})
        return
    counts = Counter(dyno["type"] for dyno in dynos)
    if session.given.on("shell"):
        _shell(app, counts)
        return
    stack = app["stack"]["name"]
    if app["build_stack"]["name"] != stack:
        stack += f" (next build will use {app['build_stack']['name']})"
    page.heading(page.app(app["name"]))
    page.pairs(
        {
            "Auto Cert Mgmt": str(app["acm"]).lower(),
            "Dynos": [f"{type}: {count}" for type, count in sorted(counts.items())],
            "Git URL": app["git_url"],
            "Maintenance": "on" if app["maintenance"] else None,
            "Owner": app["owner"]["email"],
            "Region": app["region"]["name"],
            "Repo Size": page.size(app["repo_size"]),
            "Slug Size": page.size(app["slug_size"]),
            "Stack": stack,
            "Web URL": app["web_url"],
        }
    )


def _shell(app: dict[str, Any], counts: Counter[str]) -> None:
    values = {
        "git_url": app["git_url"],
        "web_url": app["web_url"],
        "repo_size": app["repo_size"] or 0,
        "slug_size": app["slug_size"] or 0,
        "owner": app["owner"]["email"],
        "region": app["region"]["name"],
        "dynos": " ".join(f"{type}={count}" for type, count in sorted(counts.items())),
        "stack": app["stack"]["name"],
    }
    page.shell({key: str(value) for key, value in values.items()})


def open_url(session: Session) -> None:
    """Print the address: a server has no browser to open."""
    path = session.given.words[0].lstrip("/") if session.given.words else ""
    print(f"{session.app_call('apps.info')['web_url']}{path}")


def rename(session: Session) -> None:
    """As `heroku apps:rename`; local git remotes follow."""
    old, new = session.app, session.given.words[0]
    with page.action(f"Renaming {page.app(old)} to {new}"):
        app = session.app_call("apps.update", {"name": new})
    for remote in forget_remotes(session, old, remove=False):
        point_remote(session, new, remote, quietly=True)
    print(f"{app['web_url']} | {session.git_url(app['name'])}")


def destroy(session: Session) -> None:
    """As `heroku apps:destroy`: only with the name said twice."""
    name = session.call("apps.info", app=session.named_app() or session.app)["name"]
    confirm(session, name, f"This will delete {page.app(name)} including all add-ons.")
    with page.action(f"Destroying {page.app(name)} (including all add-ons)"):
        session.call("apps.destroy", app=name)
        forget_remotes(session, name, remove=True)


def maintenance(session: Session) -> None:
    """Print on or off."""
    on = bool(session.app_call("apps.info")["maintenance"])
    if session.given.on("json"):
        page.as_json({"maintenance": on})
    else:
        print("on" if on else "off")


def maintenance_on(session: Session) -> None:
    """As `heroku maintenance:on`."""
    with page.action(f"Enabling maintenance mode for {page.app(session.app)}"):
        session.app_call("apps.update", {"maintenance": True})


def maintenance_off(session: Session) -> None:
    """As `heroku maintenance:off`."""
    with page.action(f"Disabling maintenance mode for {page.app(session.app)}"):
        session.app_call("apps.update", {"maintenance": False})
