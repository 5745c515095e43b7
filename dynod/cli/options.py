"""How a command line is read: verbs with flags as data, one small parser. Pure.

argparse was rejected: it cannot say `dyno run -- ls -l` and `dyno run ls -a demo` as Heroku's CLI does, and its import alone
costs a tenth of a verb's start.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class Usage(Exception):
    """The command line makes no sense; the text says why and what would."""


@dataclass(frozen=True, slots=True)
class Flag:
    """`value` names what follows the flag; empty for a switch. `blank`: the value may be empty; elsewhere that is a
    shell's variable which nobody has set, and would mean something else.
    """

    name: str
    about: str
    short: str = ""
    value: str = ""
    aliases: tuple[str, ...] = ()
    blank: bool = False


@dataclass(frozen=True, slots=True)
class Verb:
    """One thing that can be asked. `run` is `module:function` under dynod.cli; `words` shows what follows the verb.

    `least` and `most` count the words; `passes` is for verbs whose words are a command of their own: unknown flags belong
    to it once it has begun.
    """

    name: str
    run: str
    about: str
    words: str = ""
    least: int = 0
    most: int | None = 0
    flags: tuple[Flag, ...] = ()
    aliases: tuple[str, ...] = ()
    app: bool = True
    reads: bool = False
    passes: bool = False

    def all_flags(self) -> tuple[Flag, ...]:
        """Its own flags and those it shares."""
        shared = (APP, REMOTE) if self.app else ()
        return (*self.flags, *shared, *((JSON,) if self.reads else ()), RUN, HELP)


MOST = 1_000_000

APP = Flag(
    "app", "the app (else HEROKU_APP, DYNO_APP or this directory's git remote)", short="a", value="APP"
)
REMOTE = Flag("remote", "the git remote that names the app", short="r", value="NAME")
JSON = Flag("json", "print JSON", short="j")
RUN = Flag("run", "the instance's run directory (else DYNOD_RUN or /run/dynod)", value="DIR")
HELP = Flag("help", "show this verb's usage", short="h")


@dataclass(frozen=True, slots=True)
class Given:
    """What was typed: `flags` by long name (True for a switch), `words` in order."""

    verb: Verb
    flags: Mapping[str, str | bool]
    words: tuple[str, ...]

    def text(self, name: str, default: str = "") -> str:
        """Return the value of a flag that takes one."""
        value = self.flags.get(name, default)
        return value if isinstance(value, str) else default

    def on(self, name: str) -> bool:
        """Say whether a switch was given."""
        return bool(self.flags.get(name, False))

    def number(self, name: str, default: int, least: int = 1) -> int:
        """Return the value of a flag that takes a number; raise Usage."""
        text = self.text(name, str(default))
        if not (
            text.isascii() and text.isdecimal() and len(text) <= len(str(MOST)) and least <= int(text) <= MOST
        ):
            raise Usage(f"cannot use --{name} {text!r}: it takes a whole number from {least} to {MOST}")
        return int(text)


def _find(flags: Sequence[Flag], word: str) -> tuple[Flag | None, str | None]:
    """Return the flag that a word means, and the value joined to it (`--app=demo`, `-ademo`)."""
    if word.startswith("--"):
        name, equals, value = word[2:].partition("=")
        for flag in flags:
            if name == flag.name or name in flag.aliases:
                return flag, value if equals else None
        return None, None
    for flag in flags:
        if flag.short and word[1] == flag.short and (flag.value or len(word) == 2):
            return flag, word[2:] or None
    return None, None


def parse(verb: Verb, argv: Sequence[str]) -> Given:
    """Read what follows the verb; raise Usage."""
    flags: dict[str, str | bool] = {}
    words: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--":
            words += rest
            break
        if not word.startswith("-") or word == "-":
            words.append(word)
            continue
        begun = verb.passes and words  # from here on --help and the like are the command's
        flag, value = _find((*verb.flags, APP, REMOTE) if begun else verb.all_flags(), word)
        if flag is None and begun:
            words.append(word)
        elif flag is None:
            known = ", ".join(f"--{each.name}" for each in verb.all_flags())
            raise Usage(f"cannot use {word} with {verb.name}: its flags are {known}")
        elif not flag.value:
            if value is not None:
                raise Usage(f"cannot use {word}: --{flag.name} takes no value")
            flags[flag.name] = True
        else:
            if value is None and not rest:
                raise Usage(f"cannot use {word}: it needs a value, {flag.value}")
            value = rest.pop(0) if value is None else value
            if not value and not flag.blank:
                raise Usage(
                    f"cannot use {word.removesuffix('=')}: its value is empty, and it needs {flag.value}"
                )
            flags[flag.name] = value
    if not flags.get("help"):
        _count(verb, words)
    return Given(verb, flags, tuple(words))


def _count(verb: Verb, words: Sequence[str]) -> None:
    if "" in words and not verb.passes:
        raise Usage(f"cannot use '' with {verb.name}: a word is empty; usage: {usage(verb)}")
    if len(words) < verb.least:
        raise Usage(f"cannot do {verb.name} like this; usage: {usage(verb)}")
    if verb.most is not None and len(words) > verb.most:
        raise Usage(f"cannot use {words[verb.most]!r} with {verb.name}; usage: {usage(verb)}")


def usage(verb: Verb) -> str:
    """One line: `dyno ps:scale TYPE=N[:SIZE]... -a APP`."""
    parts = ["dyno", verb.name, verb.words, "-a APP" if verb.app else ""]
    return " ".join(part for part in parts if part)
