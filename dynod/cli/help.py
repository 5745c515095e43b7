"""`dyno help` and `dyno version`, from the table of verbs."""

from dynod.cli.options import Usage, Verb, usage
from dynod.cli.page import table
from dynod.cli.session import Session
from dynod.cli.verbs import BY_NAME, VERBS
from dynod.model.spoken import VERSION


def _one(verb: Verb) -> None:
    print(f"{verb.about}\n\nusage: {usage(verb)}\n")
    rows = []
    for flag in verb.all_flags():
        short = f"-{flag.short}, " if flag.short else "    "
        rows.append([f"  {short}--{flag.name}{f' {flag.value}' if flag.value else ''}", flag.about])
    table(rows)
    if verb.aliases:
        print(f"\nalso called: {', '.join(verb.aliases)}")


def show(session: Session) -> None:
    """All verbs in one table, or one verb's usage."""
    words = session.given.words
    if words:
        verb = BY_NAME.get(words[0])
        if verb is None:
            raise Usage(f"cannot find a verb {words[0]!r}; see dyno help")
        _one(verb)
        return
    print("usage: dyno VERB [WORDS] [FLAGS]\n")
    table([[f"  {verb.name}", verb.about] for verb in VERBS])
    print("\n`dyno help VERB` shows its words and flags. Every verb that reads takes --json.")


def version(_session: Session) -> None:
    """As `dynod version` prints it."""
    print(f"dyno {VERSION}")
