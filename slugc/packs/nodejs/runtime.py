"""Which Node.js an app gets: the stack's, or one from npm's own `node-linux-*` packages, which then is part of the slug."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from slugc.output import alarm, note, say
from slugc.packs.commands import PackFailed, answer
from slugc.packs.nodejs.package import Package
from slugc.packs.nodejs.semver import BadRange, best, satisfies

_MACHINES = {"x86_64": "x64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Stack:
    """What `node --version` and `npm --version` say, '' where there is none."""

    node: str
    npm: str


def of_stack(env: Mapping[str, str]) -> Stack:
    """Ask the stack."""
    node = answer(["node", "--version"], env) or ""
    return Stack(node.removeprefix("v"), (answer(["npm", "--version"], env) or "") if node else "")


def provide(package: Package, build: str, env: Mapping[str, str]) -> Stack:
    """Make `node` and `npm` of PATH what the package asks for; raise PackFailed naming what there is."""
    stack = of_stack(env)
    if not stack.npm:
        raise PackFailed(
            "Error: this stack has no Node.js.\n\n"
            "The machine's owner can add it: on Debian and Ubuntu it is in the packages nodejs and npm."
        )
    try:
        if package.node and not satisfies(stack.node, package.node):
            _fetch_node(package.node, stack, build, env)
        else:
            say(note(f"Using the stack's Node.js {stack.node}"))
    except BadRange as error:
        raise PackFailed(f"Error: Unable to read engines.node in package.json: {error}") from error
    now = of_stack(env)
    _npm(package, now, build, env)
    return of_stack(env)


def _fetch_node(wanted: str, stack: Stack, build: str, env: Mapping[str, str]) -> None:
    say(note(f"Resolving node version {wanted}..."))
    name = f"node-linux-{_MACHINES.get(os.uname().machine, os.uname().machine)}"
    listed = answer(["npm", "view", name, "versions", "--json"], env)
    try:
        offered = json.loads(listed or "[]")
    except ValueError:
        offered = []
    chosen = best((str(each) for each in offered if _is_release(str(each))), wanted) if offered else None
    if chosen is None:
        raise PackFailed(_lacking(wanted, stack, answered=bool(offered)))
    say(note(f"Downloading and installing node {chosen}..."))
    temporary = f"{build}/.heroku/node.new"
    # --no-workspaces, --ignore-scripts: this is ours and nothing of the app's
    argv = ["npm", "install", "--no-save", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"]
    os.makedirs(temporary)
    if answer([*argv, "--prefix", temporary, f"{name}@{chosen}"], env, temporary) is None:
        raise PackFailed(_lacking(wanted, stack, answered=False))
    os.makedirs(f"{build}/.heroku/node/bin", exist_ok=True)
    shutil.move(f"{temporary}/node_modules/{name}/bin/node", f"{build}/.heroku/node/bin/node")
    shutil.rmtree(temporary)
    if answer(["node", "--version"], env) != f"v{chosen}":
        raise PackFailed(
            f"Error: Node.js {chosen} does not run on this stack, which has Node.js {stack.node}."
        )


def _is_release(text: str) -> bool:
    return text.replace(".", "").isdigit()


def _lacking(wanted: str, stack: Stack, *, answered: bool) -> str:
    why = "and npm offers none either" if answered else "and npm's registry did not give one"
    major = stack.node.partition(".")[0]
    return (
        f"Error: Node.js {wanted} is not available on this stack.\n\n"
        f"Your app asks for Node.js {wanted} in package.json (engines.node); this stack has Node.js {stack.node},\n"
        f"{why}. Put {major}.x there if your app runs on it."
    )


def _npm(package: Package, stack: Stack, build: str, env: Mapping[str, str]) -> None:
    """Install the npm that the package asks for, if it is another."""
    try:
        fits = not package.npm or (bool(stack.npm) and satisfies(stack.npm, package.npm))
    except BadRange as error:
        raise PackFailed(f"Error: Unable to read engines.npm in package.json: {error}") from error
    if fits and stack.npm:
        say(note(f"Using npm version: {stack.npm}"))
        return
    wanted = package.npm or "latest"
    say(note(f"Bootstrapping npm {wanted} (replacing {stack.npm or 'none that runs on this node'})..."))
    argv = ["npm", "install", "--global", "--no-audit", "--no-fund", "--prefix", f"{build}/.heroku/node"]
    if answer([*argv, f"npm@{wanted}"], env) is None:
        say(alarm(f"Warning: npm {wanted} could not be installed; going on with {stack.npm}"))
