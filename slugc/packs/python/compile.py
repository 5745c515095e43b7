"""The Python pack's bin/compile: an interpreter, the app's requirements, static files, and what dynos need to find them.

Everything lands in BUILD_DIR/.heroku/python, which the build shows at /app/.heroku/python by a symbolic link: so scripts,
`#!` lines and pip's records name the place where the app runs and not the one where it was built (as in Heroku's own pack).
The stack's Python enters as a virtual environment; one from /runtimes is copied whole.
"""

import glob
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from slugc.output import alarm, note, say, topic
from slugc.packs.commands import PackFailed, answer, config_vars, copy_tree, guarded, run
from slugc.packs.python import profile
from slugc.packs.python.versions import Asked, Interpreter, choose, read_python_version, read_runtime_txt

_WHERE = re.compile(r" in \S+/\.heroku/python/lib/python3\.\d+/site-packages")  # of no use to the pusher
LAYOUT = 1  # a cached tree of another layout is of no use
_UNSUPPORTED = ("Pipfile.lock", "poetry.lock", "uv.lock", "pdm.lock", "Pipfile", "pyproject.toml")


@dataclass(frozen=True, slots=True)
class Build:
    """`home` is the tree's place at run time (/app/.heroku/python), `tree` where it really lies now."""

    pack: str
    build: str
    cache: str
    env_dir: str
    app: str

    @property
    def tree(self) -> str:
        return f"{self.build}/.heroku/python"

    @property
    def home(self) -> str:
        return f"{self.app}/.heroku/python"

    @property
    def python(self) -> str:
        return f"{self.home}/bin/python"

    def env(self) -> dict[str, str]:
        """For pip and the app's own code: the pack's environment with the tree in front."""
        return {
            **os.environ,
            "PATH": f"{self.home}/bin:{os.environ.get('PATH', '/usr/bin:/bin')}",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
            "LANG": os.environ.get("LANG", "C.UTF-8"),
        }


def main(pack: str, build: str, cache: str, env_dir: str) -> int:
    """Follow the contract: bin/compile BUILD_DIR CACHE_DIR ENV_DIR."""
    rooms = Build(pack, os.path.realpath(build), cache, env_dir, os.environ.get("HOME", "/app"))
    return guarded(lambda: _compile(rooms))


def _compile(rooms: Build) -> None:
    _hook(rooms, "pre_compile")
    _demand_requirements(rooms)
    interpreter = _interpreter(rooms)
    os.makedirs(f"{rooms.build}/.heroku", exist_ok=True)
    shutil.rmtree(rooms.tree, ignore_errors=True)
    _show_at_run_time_place(rooms)
    restored = _restore(rooms, interpreter)
    if not restored:
        _lay_interpreter(rooms, interpreter)
    installed = _install_requirements(rooms)
    if installed or not restored:
        _byte_compile(rooms)
    profile.write(rooms.build, rooms.pack, rooms.home, copied=bool(interpreter.home))
    _collectstatic(rooms)
    _hook(rooms, "post_compile")
    _point_editables_at_app(rooms)
    if installed or not restored:
        _save(rooms, interpreter)


def _demand_requirements(rooms: Build) -> None:
    if os.path.isfile(f"{rooms.build}/requirements.txt"):
        return
    found = [name for name in _UNSUPPORTED if os.path.exists(f"{rooms.build}/{name}")]
    if found:
        raise PackFailed(
            "Error: Couldn't find a requirements.txt.\n\n"
            f"This app has {', '.join(found)}, which this buildpack does not install from. Export it, for example with\n"
            "`uv export --no-hashes > requirements.txt`, `poetry export` or `pipenv requirements`, and commit the file."
        )
    raise PackFailed(
        "Error: Couldn't find any supported Python package manager files.\n\n"
        "A Python app must have a 'requirements.txt' in the root directory of its source code.\n"
        "If it has no dependencies, an empty one will do."
    )


def _interpreter(rooms: Build) -> Interpreter:
    asked = _asked(rooms.build)
    interpreters = list(_interpreters())
    if asked is None:
        default = next((each for each in interpreters if not each.home), None)
        if default is None:
            raise PackFailed("Error: this stack has no Python 3.")
        say(topic(f"Using Python {default.version}, the stack's own: no version was specified"))
        return default
    chosen = choose(asked, interpreters)
    say(topic(f"Using Python {chosen.version} specified in {asked.origin}"))
    if asked.version not in (chosen.version, chosen.minor):
        say(alarm(f"Warning: Python {asked.version} was asked for; this stack has {chosen.version}."))
    return chosen


def _asked(build: str) -> Asked | None:
    for name, read in (("runtime.txt", read_runtime_txt), (".python-version", read_python_version)):
        if os.path.isfile(f"{build}/{name}"):
            with open(f"{build}/{name}", encoding="utf-8-sig", errors="replace") as file:
                return read(file.read())
    return None


def _interpreters() -> Iterator[Interpreter]:
    """What there is: the stack's own first, its default foremost, then /runtimes."""
    own = ".".join(str(part) for part in sys.version_info[:3])
    yield Interpreter(own, sys.executable)
    for path in sorted(glob.glob("/usr/bin/python3.*")):
        name = os.path.basename(path)
        if re.fullmatch(r"python3\.\d+", name) and name != f"python3.{sys.version_info[1]}":
            version = answer([path, "-ISc", "import platform; print(platform.python_version())"], os.environ)
            if version:
                yield Interpreter(version, path)
    for home in sorted(glob.glob("/runtimes/python-3.*")):
        if os.access(f"{home}/bin/python3", os.X_OK):
            yield Interpreter(home.rpartition("-")[2], f"{home}/bin/python3", home)


def _show_at_run_time_place(rooms: Build) -> None:
    os.makedirs(f"{rooms.app}/.heroku", exist_ok=True)
    if os.path.realpath(rooms.home) == rooms.tree:
        return
    if os.path.islink(rooms.home):
        os.unlink(rooms.home)
    os.symlink(rooms.tree, rooms.home)


def _lay_interpreter(rooms: Build, interpreter: Interpreter) -> None:
    """A virtual environment, or the copied runtime, with pip in it from the interpreter's own bundle (no network)."""
    if interpreter.home:
        copy_tree(interpreter.home, rooms.tree)
        if not os.path.lexists(f"{rooms.tree}/bin/python"):
            os.symlink("python3", f"{rooms.tree}/bin/python")
    else:
        _virtual_environment(rooms.tree, interpreter)
    wheels = _bundled(interpreter)
    names = " and ".join(" ".join(os.path.basename(wheel).split("-")[:2]) for wheel in wheels)
    say(topic(f"Installing {names}"))
    bootstrap = [
        rooms.python,
        f"{wheels[0]}/pip",
        "install",
        "--isolated",
        "--no-index",
        "--no-deps",
        "--no-compile",
    ]
    if run([*bootstrap, "--quiet", *wheels], rooms.env(), rooms.build):
        raise PackFailed("Error: Unable to install pip.")


def _virtual_environment(tree: str, interpreter: Interpreter) -> None:
    """Lay one out as PEP 405 says. The venv module refuses a directory that is reached by a link, which ours must be."""
    program = os.path.realpath(interpreter.program)
    name = f"python{interpreter.minor}"
    os.makedirs(f"{tree}/bin")
    os.makedirs(f"{tree}/lib/{name}/site-packages")
    os.symlink("lib", f"{tree}/lib64")
    os.symlink(program, f"{tree}/bin/{name}")
    for link in ("python", "python3"):
        os.symlink(name, f"{tree}/bin/{link}")
    with open(f"{tree}/pyvenv.cfg", "w", encoding="utf-8") as file:
        file.write(f"home = {os.path.dirname(program)}\ninclude-system-site-packages = false\n")
        file.write(f"version = {interpreter.version}\n")


def _bundled(interpreter: Interpreter) -> list[str]:
    """The wheel of pip, and setuptools' where many packages still expect it (Python before 3.12)."""
    base = interpreter.home or "/usr"
    directories = (f"{base}/lib/python{interpreter.minor}/ensurepip/_bundled", "/usr/share/python-wheels")
    wheels: list[str] = []
    minor = int(interpreter.minor.split(".")[1])
    for name in ("pip", "setuptools") if minor < 12 else ("pip",):
        found = [path for place in directories for path in sorted(glob.glob(f"{place}/{name}-*.whl"))]
        if found:
            wheels.append(found[0])
        elif name == "pip":
            raise PackFailed(_no_pip(interpreter))
    return wheels


def _no_pip(interpreter: Interpreter) -> str:
    return (
        f"Error: this stack has Python {interpreter.version} without pip.\n\n"
        "The machine's owner can add them: on Debian and Ubuntu they are in the package python3-venv."
    )


def _install_requirements(rooms: Build) -> bool:
    """Run pip; say whether it changed anything."""
    say(topic("Installing dependencies using 'pip install -r requirements.txt'"))
    env = rooms.env()
    extra = config_vars(rooms.env_dir).get("PIP_EXTRA_INDEX_URL")
    if extra:
        env["PIP_EXTRA_INDEX_URL"] = extra
    changed = False

    def seen(line: str) -> None:
        nonlocal changed
        changed = changed or line.startswith("Successfully installed")

    argv = [rooms.python, "-m", "pip", "install", "-r", "requirements.txt", "--no-compile", "--no-input"]
    argv += ["--exists-action=w", "--progress-bar=off", "--no-warn-script-location"]
    argv += [f"--cache-dir={rooms.cache}/python/pip", f"--src={rooms.home}/src"]
    if run(argv, env, rooms.build, seen, lambda line: _WHERE.sub("", line)):
        raise PackFailed(
            "Error: Unable to install dependencies using pip.\n\nSee the log output above for more information."
        )
    return changed


def _byte_compile(rooms: Build) -> None:
    """Compile by hash and not by date: a slug has one date for all files, and dated .pyc would be made anew at every boot.

    Packages may hold files that are no Python at all (templates, tests for old versions): their failure is no news. pip itself
    hardly ever runs in a dyno and stays as it is.
    """
    places = glob.glob(f"{rooms.home}/lib/python3.*/site-packages")
    # -S and the seed: what the compiler itself has imported, and the order of sets, would show in the bytes
    argv = [rooms.python, "-sSm", "compileall", "-qq", "-j0", "--invalidation-mode=unchecked-hash"]
    argv += ["-x", r"/site-packages/pip/", *places]
    answer(argv, {**rooms.env(), "PYTHONHASHSEED": "0"})


def _collectstatic(rooms: Build) -> None:
    if not glob.glob(f"{rooms.home}/lib/python3.*/site-packages/django/__init__.py"):
        return
    config = config_vars(rooms.env_dir)
    if config.get("DISABLE_COLLECTSTATIC", "0") not in ("", "0"):
        say(topic("Skipping Django collectstatic since the env var DISABLE_COLLECTSTATIC is set."))
        return
    manage = _manage_py(rooms.build)
    if manage is None:
        say(topic("Skipping Django collectstatic since no manage.py file found."))
        return
    say(topic(f"$ python {manage} collectstatic --noinput"))
    env = rooms.env()
    env.update(config)
    env["PATH"] = rooms.env()["PATH"]
    env.setdefault("PYTHONPATH", ".")
    status = run(["python", manage, "collectstatic", "--noinput", "--traceback"], env, rooms.build)
    say()
    if status:
        raise PackFailed(
            "Error: Unable to generate Django static files.\n\n"
            f"The 'python {manage} collectstatic --noinput' Django\n"
            "management command to generate static files failed.\n\n"
            "See the traceback above for details.\n\n"
            "You may need to update application code to resolve this error.\n"
            "Or, you can disable collectstatic for this application:\n\n"
            "   $ heroku config:set DISABLE_COLLECTSTATIC=1\n\n"
            "https://devcenter.heroku.com/articles/django-assets"
        )


def _manage_py(build: str) -> str | None:
    """The uppermost manage.py, three levels down at most."""
    for pattern in ("manage.py", "*/manage.py", "*/*/manage.py"):
        for path in sorted(glob.glob(f"{build}/{pattern}")):
            if os.path.isfile(path):
                return os.path.relpath(path, build)
    return None


def _point_editables_at_app(rooms: Build) -> None:
    """`pip install -e` writes where the source is now; at run time it is under /app."""
    was, will = rooms.build.encode(), rooms.app.encode()
    for directory in glob.glob(f"{rooms.tree}/lib/python3.*/site-packages"):
        for name in os.listdir(directory):
            if name.endswith((".pth", ".egg-link")) or name.startswith("__editable__"):
                path = f"{directory}/{name}"
                with open(path, "rb") as file:
                    text = file.read()
                if was in text:
                    with open(path, "wb") as file:
                        file.write(text.replace(was, will))


def _hook(rooms: Build, name: str) -> None:
    """bin/pre_compile and bin/post_compile of the app itself."""
    if not os.path.isfile(f"{rooms.build}/bin/{name}"):
        return
    say(topic(f"Running bin/{name} hook"))
    env = {**rooms.env(), **config_vars(rooms.env_dir)}
    env["PATH"] = rooms.env()["PATH"]
    program = f"{rooms.build}/bin/{name}"
    argv = [program] if os.access(program, os.X_OK) else ["bash", program]
    if run(argv, env, rooms.build):
        raise PackFailed(f"Error: Failed to run the bin/{name} script.")


def _key(rooms: Build, interpreter: Interpreter) -> dict[str, object]:
    with open(f"{rooms.build}/requirements.txt", "rb") as file:
        requirements = hashlib.sha256(file.read()).hexdigest()
    return {
        "layout": LAYOUT,
        "stack": os.environ.get("STACK", ""),
        "python": interpreter.version,
        "home": rooms.home,
        "requirements": requirements,
    }


_REASONS = {
    "layout": "The buildpack has changed",
    "home": "The place of the app has changed",
    "stack": "The stack has changed",
    "python": "The Python version has changed",
    "requirements": "The contents of requirements.txt changed",
}


def _restore(rooms: Build, interpreter: Interpreter) -> bool:
    """Bring back the tree of the last build if it was made from the same things."""
    kept = f"{rooms.cache}/python"
    try:
        with open(f"{kept}/key.json", encoding="utf-8") as file:
            was = json.load(file)
    except (OSError, ValueError):
        return False
    now = _key(rooms, interpreter)
    if was == now and os.path.isdir(f"{kept}/tree"):
        say(topic("Restoring cache"))
        copy_tree(f"{kept}/tree", rooms.tree)
        return True
    say(topic("Discarding cache since:"))
    for name, reason in _REASONS.items():
        if not isinstance(was, dict) or was.get(name) != now[name]:
            say(note(f"- {reason}"))
    return False


def _save(rooms: Build, interpreter: Interpreter) -> None:
    say(topic("Saving cache"))
    kept = f"{rooms.cache}/python"
    os.makedirs(kept, exist_ok=True)
    if os.path.exists(f"{kept}/key.json"):  # without its key a half-written tree is never used
        os.unlink(f"{kept}/key.json")
    shutil.rmtree(f"{kept}/tree", ignore_errors=True)
    copy_tree(rooms.tree, f"{kept}/tree")
    with open(f"{kept}/key.json", "w", encoding="utf-8") as file:
        json.dump(_key(rooms, interpreter), file)
