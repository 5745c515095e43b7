"""Write the handbook pages that come from tables: `make docs`. tests/docs/ fails when a page is behind its table."""

import os
import sys
from collections.abc import Iterable

HERE = os.path.dirname(os.path.abspath(__file__))
MADE = "<!-- made by `make docs` from {source}: edit that, not this -->"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def cli() -> str:
    """docs/cli.md from the table of verbs."""
    from dynod.__main__ import WORDS
    from dynod.cli.options import usage
    from dynod.cli.verbs import VERBS

    parts = [
        "# Command lines",
        MADE.format(source="dynod/cli/verbs.py and dynod/__main__.py"),
        "## dyno",
        "The verbs are those of Heroku's CLI. The instance is found by `--run DIR`, `DYNOD_RUN`, or `/run/dynod`; the app by `-a APP`, "
        "`HEROKU_APP`, `DYNO_APP`, or the git remote of the current directory (`-r REMOTE` chooses among several). Verbs that read take "
        "`--json`. Exit status: 0 done, 1 refused (one line on stderr says why), 2 wrong usage, 130 after Ctrl-C, 141 when who reads it has gone; `dyno run` ends with "
        "the status of what it ran.",
        _table(("verb", "does", "also called"), ((f"`{v.name}`", v.about, ", ".join(f"`{a}`" for a in v.aliases)) for v in VERBS)),
    ]
    for verb in VERBS:
        parts += [f"### {verb.name}", f"`{usage(verb)}`", verb.about[0].upper() + verb.about[1:] + "."]
        if verb.flags or verb.reads:
            own = [flag for flag in verb.all_flags() if flag in verb.flags or flag.name == "json"]
            rows = (
                (f"`{f'-{flag.short}, ' if flag.short else ''}--{flag.name}{f' {flag.value}' if flag.value else ''}`", flag.about)
                for flag in own
            )
            parts.append(_table(("flag", "meaning"), rows))
    parts += [
        "## dynod",
        "Each program of the platform is a word of `dynod`; `dynod WORD --help` shows its flags.",
        _table(("word", "does"), ((f"`{word}`", about) for word, about in WORDS.items())),
    ]
    return "\n\n".join(parts) + "\n"


def api() -> str:
    """docs/api.md from the table of operations."""
    from dynod.api.operations import OPERATIONS, STREAMS

    parts = [
        "# Operations of the API",
        MADE.format(source="dynod/api/operations.py"),
        "Served as Platform API v3 over TLS (`Accept: application/vnd.heroku+json; version=3`, `Authorization: Bearer TOKEN`), and as "
        "MessagePack-RPC on RUN/control.sock under the operation's name: params are one map of the path's names, plus `body`; the result is "
        "the JSON that HTTP would send. Errors are `{id, message}`.",
        _table(
            ("operation", "request", "who may", "status"),
            ((f"`{o.name}`", f"`{o.method} {o.path}`", o.access.value, str(o.status)) for o in OPERATIONS),
        ),
        "## Streams",
        "On RUN/control.sock only: items come before the result.",
        _table(
            ("stream", "params", "who may"),
            ((f"`{s.name}`", ", ".join(f"`{p}`" for p in s.params), s.access.value) for s in STREAMS),
        ),
    ]
    return "\n\n".join(parts) + "\n"


PAGES = {"cli.md": cli, "api.md": api}


if __name__ == "__main__":
    for name, page in PAGES.items():
        with open(os.path.join(HERE, name), "w", encoding="utf-8") as file:
            file.write(page())
        sys.stdout.write(f"wrote docs/{name}\n")
