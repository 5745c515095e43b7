"""What tests of git over HTTPS share: a work tree, the real git against a served API, hooks in the place of slugc's."""

import asyncio
import os
import sys

HOOK = """
import os, sys
print("-----> reading", sys.stdin.read().split()[2], file=sys.stderr, flush=True)
for name in ("DYNOD_APP", "DYNOD_CONTROL", "DYNOD_SCRATCH", "DYNOD_CHECKOUT_BYTES"):
    print(f"{name}={os.environ[name]}", file=sys.stderr, flush=True)
print("isdir", os.path.isdir(os.environ["DYNOD_SCRATCH"]), file=sys.stderr, flush=True)
"""


def hook(code):
    return (sys.executable, "-c", code)


def clean(cwd):
    """An environment in which nothing is of who runs the tests: no configuration of git's, no proxy."""
    made = {"PATH": os.environ["PATH"], "HOME": str(cwd), "GIT_CONFIG_NOSYSTEM": "1", "LANG": "C.UTF-8"}
    names = ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL")
    return made | dict.fromkeys(names[0], "A Person") | dict.fromkeys(names[1], "a@example.com")


async def shell(cwd, *argv, env=None, check=True):
    """Run a program to its end; return its status and all it said."""
    child = await asyncio.create_subprocess_exec(
        *argv,
        cwd=cwd,
        env=clean(cwd) | (env or {}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await child.communicate()
    assert not check or child.returncode == 0, out.decode()
    return child.returncode, out.decode()


async def work_tree(path, branch="main"):
    path.mkdir()
    await shell(path, "git", "init", "-q", "-b", branch)
    (path / "Procfile").write_text("web: ./serve\n")
    await shell(path, "git", "add", ".")
    await shell(path, "git", "commit", "-qm", "First")
    return path


def address(whole, token="owner-token", name="demo"):
    return f"https://heroku:{token}@127.0.0.1:{whole.api.api_port}/{name}.git"


def trusting(whole, **more):
    return {"GIT_SSL_CAINFO": whole.api.ca_path, "GIT_TERMINAL_PROMPT": "0", **more}


async def pushing(whole, tree):
    """Begin to push main, in a session of its own; its stderr is what git says."""
    env = clean(tree) | trusting(whole)
    argv = ("git", "push", address(whole), "main")
    return await asyncio.create_subprocess_exec(
        *argv, cwd=tree, env=env, stderr=asyncio.subprocess.PIPE, start_new_session=True
    )


async def push(whole, tree, what="main", **kwargs):
    return await shell(tree, "git", "push", address(whole), what, env=trusting(whole), check=False, **kwargs)
