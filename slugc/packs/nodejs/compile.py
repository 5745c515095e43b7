"""The Node.js pack's bin/compile: node and npm, the app's packages, its build script, and what dynos need to find them.

The order and the words are Heroku's. `npm ci` installs what the lock file says; a tree of the last build is taken instead if
package.json, lock file, node and npm are the same, and npm then only runs the app's own scripts.
"""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass

from slugc.output import alarm, note, say, topic
from slugc.packs.commands import PackFailed, config_vars, copy_tree, guarded, run
from slugc.packs.nodejs import package as packages
from slugc.packs.nodejs import runtime
from slugc.packs.nodejs.package import Package

LAYOUT = 1
_LOCKS = ("npm-shrinkwrap.json", "package-lock.json")
_OTHER_LOCKS = ("yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb")
_QUIET = ("--no-audit", "--no-fund")

_PROFILE = """\
export PATH="$HOME/.heroku/node/bin:$PATH:$HOME/bin:$HOME/node_modules/.bin"
export NODE_HOME="$HOME/.heroku/node"
export NODE_ENV="${NODE_ENV:-production}"
"""

# Sourced, so no names stay behind. A dyno has no /sys: its size is in DYNO_RAM, in megabytes.
_CONCURRENCY = """\
_dynod_concurrency() {
  local memory=${DYNO_RAM:-512} limit
  if [ -r /sys/fs/cgroup/memory/memory.limit_in_bytes ]; then
    limit=$(( $(cat /sys/fs/cgroup/memory/memory.limit_in_bytes) / 1048576 ))
    [ "$limit" -le 129024 ] && memory=$limit
  fi
  export MEMORY_AVAILABLE="${MEMORY_AVAILABLE:-$memory}"
  limit=512
  [ "$MEMORY_AVAILABLE" -gt 16384 ] && limit=2048
  export WEB_MEMORY="${WEB_MEMORY:-$limit}"
  limit=$(( MEMORY_AVAILABLE / WEB_MEMORY ))
  [ "$limit" -ge 1 ] || limit=1
  export WEB_CONCURRENCY="${WEB_CONCURRENCY:-$limit}"
}
_dynod_concurrency
unset -f _dynod_concurrency
"""


@dataclass(frozen=True, slots=True)
class Build:
    """Where things are, what the app asks for, and the environment its scripts see (config vars and all, as on Heroku)."""

    pack: str
    build: str
    cache: str
    app: str
    package: Package
    lock: str
    env: dict[str, str]
    has_modules: bool


def main(pack: str, build: str, cache: str, env_dir: str) -> int:
    """Follow the contract: bin/compile BUILD_DIR CACHE_DIR ENV_DIR."""
    return guarded(lambda: _compile(pack, os.path.realpath(build), cache, env_dir))


def _compile(pack: str, build: str, cache: str, env_dir: str) -> None:
    with open(f"{build}/package.json", encoding="utf-8", errors="replace") as file:
        package = packages.read(file.read())
    lock = next((name for name in _LOCKS if os.path.isfile(f"{build}/{name}")), "")
    rooms = Build(
        pack=pack,
        build=build,
        cache=f"{cache}/node",
        app=os.environ.get("HOME", "/app"),
        package=package,
        lock=lock,
        env=_environment(build, cache, config_vars(env_dir)),
        has_modules=os.path.isdir(f"{build}/node_modules"),
    )
    _say_environment(rooms)
    say(topic("Installing binaries"))
    say(note(f"engines.node (package.json):   {package.node or 'unspecified'}"))
    say(note(f"engines.npm (package.json):    {package.npm or 'unspecified (use default)'}"))
    say(note(""))
    os.makedirs(f"{build}/.heroku/node", exist_ok=True)
    versions = runtime.provide(package, build, rooms.env)
    key = _key(rooms, versions)
    restored = _restore(rooms, key)
    say(topic("Installing dependencies"))
    _script(rooms, "heroku-prebuild")
    _install(rooms, restored=restored)
    if not restored and not rooms.has_modules:
        _save(rooms, key)
    if package.build_script:
        say(topic("Build"))
        _script(rooms, package.build_script)
    _prune(rooms)
    _script(rooms, "heroku-cleanup")
    _write_profile(rooms)
    say(topic("Build succeeded!"))


def _environment(build: str, cache: str, config: dict[str, str]) -> dict[str, str]:
    path = f"{build}/.heroku/node/bin:{os.environ.get('PATH', '/usr/bin:/bin')}:{build}/node_modules/.bin"
    return {
        "NPM_CONFIG_LOGLEVEL": "error",
        "NODE_VERBOSE": "false",
        "NODE_ENV": "production",
        "NODE_MODULES_CACHE": "true",
        "NPM_CONFIG_UPDATE_NOTIFIER": "false",
        "NPM_CONFIG_CACHE": f"{cache}/node/npm",
        **os.environ,
        **config,
        "PATH": path,
        "HOME": os.environ.get("HOME", "/app"),
    }


def _say_environment(rooms: Build) -> None:
    say(note(""))
    say(topic("Creating runtime environment"))
    say(note(""))
    for name in ("NPM_CONFIG_LOGLEVEL", "NODE_VERBOSE", "NODE_ENV", "NODE_MODULES_CACHE"):
        say(note(f"{name}={rooms.env[name]}"))
    say(note(""))
    others = [name for name in _OTHER_LOCKS if os.path.exists(f"{rooms.build}/{name}")]
    if others and not rooms.lock:
        say(
            alarm(
                f"Warning: {', '.join(others)} is not read by this buildpack; npm installs what package.json allows."
            )
        )


def _npm(rooms: Build, *arguments: str) -> int:
    return run(["npm", *arguments], rooms.env, rooms.build)


def _script(rooms: Build, name: str) -> None:
    """Run one of the app's scripts, if it has it."""
    if name not in rooms.package.scripts:
        return
    say(note(f"Running {name}"))
    say(note(""))
    if _npm(rooms, "run", name, "--if-present"):
        raise PackFailed(f"Error: the script `{name}` of package.json failed.\n\nSee the log output above.")


def _install(rooms: Build, *, restored: bool) -> None:
    dev = () if _without_dev(rooms) else ("--include=dev",)
    if rooms.has_modules:
        say(note("Rebuilding any native modules"))
        say(
            alarm(
                "Warning: node_modules is checked into source control; npm builds anew what is native in it."
            )
        )
        failed = _npm(rooms, "rebuild") or _npm(rooms, "install", *dev, *_QUIET)
    elif rooms.lock and not restored:
        say(note(f"Installing node modules ({rooms.lock})"))
        failed = _npm(rooms, "ci", *dev, *_QUIET, "--prefer-offline")
    else:
        say(note("Installing any new modules (package.json)" if not rooms.lock else "Checking node modules"))
        failed = _npm(rooms, "install", *dev, *_QUIET, "--prefer-offline")
    if failed:
        raise PackFailed(
            "Error: Unable to install dependencies using npm.\n\nSee the log output above for details."
        )


def _without_dev(rooms: Build) -> bool:
    """NPM_CONFIG_PRODUCTION=true is the old way to say it, npm_config_omit=dev today's."""
    lower = {name.lower(): value for name, value in rooms.env.items()}
    return lower.get("npm_config_production") == "true" or "dev" in lower.get("npm_config_omit", "")


def _prune(rooms: Build) -> None:
    if not rooms.package.has_dev_dependencies or _without_dev(rooms):
        return
    say(topic("Pruning devDependencies"))
    if rooms.env["NODE_ENV"] != "production":
        say(note("Skipping because NODE_ENV is not 'production'"))
        return
    if rooms.env.get("NPM_CONFIG_PRODUCTION") == "false":
        say(note("Skipping because NPM_CONFIG_PRODUCTION is 'false'"))
        return
    if _npm(rooms, "prune", "--omit=dev", "--ignore-scripts", *_QUIET):
        raise PackFailed("Error: Unable to prune devDependencies.\n\nSee the log output above for details.")


def _write_profile(rooms: Build) -> None:
    os.makedirs(f"{rooms.build}/.profile.d", exist_ok=True)
    for name, text in (("nodejs.sh", _PROFILE), ("WEB_CONCURRENCY.sh", _CONCURRENCY)):
        with open(f"{rooms.build}/.profile.d/{name}", "w", encoding="utf-8") as file:
            file.write(text)
    with open(f"{rooms.pack}/export", "w", encoding="utf-8") as file:
        places = f"{rooms.build}/.heroku/node/bin:$PATH:{rooms.build}/node_modules/.bin"
        file.write(f'export PATH="{places}"\nexport NODE_HOME="{rooms.build}/.heroku/node"\n')


def _key(rooms: Build, versions: runtime.Stack) -> dict[str, str]:
    """What a tree of packages depends on. Without a lock the packages stay as they are until package.json changes."""
    return {
        "layout": str(LAYOUT),
        "stack": os.environ.get("STACK", ""),
        "node": versions.node,
        "npm": versions.npm,
        "without_dev": str(_without_dev(rooms)),
        "package": _hash(f"{rooms.build}/package.json"),
        "lock": _hash(f"{rooms.build}/{rooms.lock}") if rooms.lock else "",
    }


def _hash(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _restore(rooms: Build, key: dict[str, str]) -> bool:
    try:
        with open(f"{rooms.cache}/key.json", encoding="utf-8") as file:
            was = json.load(file)
    except (OSError, ValueError):
        return False
    if rooms.has_modules or rooms.env["NODE_MODULES_CACHE"] == "false":
        return False
    say(topic("Restoring cache"))
    if was != key or not os.path.isdir(f"{rooms.cache}/node_modules"):
        say(note("Cached directories were not restored: node, npm or the packages have changed"))
        return False
    say(note("- node_modules"))
    copy_tree(f"{rooms.cache}/node_modules", f"{rooms.build}/node_modules")
    return True


def _save(rooms: Build, key: dict[str, str]) -> None:
    """Keep the tree as installed, before build scripts and pruning touch it."""
    if not os.path.isdir(f"{rooms.build}/node_modules") or rooms.env["NODE_MODULES_CACHE"] == "false":
        return
    say(topic("Caching build"))
    say(note("- node_modules"))
    os.makedirs(rooms.cache, exist_ok=True)
    if os.path.exists(f"{rooms.cache}/key.json"):  # without its key a half-written tree is never used
        os.unlink(f"{rooms.cache}/key.json")
    shutil.rmtree(f"{rooms.cache}/node_modules", ignore_errors=True)
    copy_tree(f"{rooms.build}/node_modules", f"{rooms.cache}/node_modules")
    with open(f"{rooms.cache}/key.json", "w", encoding="utf-8") as file:
        json.dump(key, file)
