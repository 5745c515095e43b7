"""A dyno's environment and the shell that starts its command (HEROKU.md 1.4)."""

import re
from collections.abc import Mapping

from dynod.model.formation import MIB, ProcessType

PATH = "/usr/local/bin:/usr/bin:/bin"

# Config vars are in the environment already; then every .profile.d script, then .profile, then the command in a shell of its
# own, which a simple command replaces, so that the app gets its signals at first hand.
_START = (
    'for f in /etc/profile.d/*.sh /app/.profile.d/*.sh; do [ -r "$f" ] && . "$f"; done; unset f; '
    '[ -r /app/.profile ] && . /app/.profile; exec /bin/bash -c "$1"'
)

_OURS = ("HOME", "PORT", "DYNO", "DYNO_RAM")
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


def argv(command: str) -> tuple[str, ...]:
    """The argument vector that runs a command line as Heroku does."""
    return ("/bin/bash", "-c", _START, "bash", command)


def environ(
    config: Mapping[str, str],
    extra: Mapping[str, str],
    *,
    dyno: str,
    port: int,
    memory: int,
    stack_env: Mapping[str, str],
    metadata: Mapping[str, str],
) -> dict[str, str]:
    """Config vars over the stack's defaults, the asker's extras over them, and what is the platform's over all.

    `memory`: the size's quota in bytes; DYNO_RAM says it in megabytes to scripts that size worker pools by it. `metadata`: of
    core/metadata.py.
    """
    return {
        **stack_env,
        "PATH": PATH,
        **config,
        **extra,
        **metadata,
        "HOME": "/app",
        "PWD": "/app",
        "PORT": str(port),
        "DYNO": dyno,
        "DYNO_RAM": str(memory // MIB),
    }


def inside(env: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """For one more command in a dyno that was launched with `env`: the asker's extras over it, but for what is the platform's."""
    ours = {name: value for name, value in env.items() if name in _OURS or name.startswith("HEROKU_")}
    return {**env, **extra, **ours}


def expanded(command: str, env: Mapping[str, str]) -> str:
    """The command as the log shows it, with $PORT and config vars filled in; unknown names stay as they are."""

    def value(found: re.Match[str]) -> str:
        return env.get(found[1] or found[2], found[0])

    return _VARIABLE.sub(value, command)


def one_off_command(asked: str, process_types: Mapping[ProcessType, str]) -> str:
    """A first word that names a process type stands for its command (HEROKU.md 1.10, row "command lookup")."""
    word, space, rest = asked.partition(" ")
    command = process_types.get(ProcessType(word))
    return asked if command is None else command + space + rest
