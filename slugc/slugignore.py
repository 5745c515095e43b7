"""Which files `.slugignore` keeps out of a slug. Pure: text and paths in, answers out.

The rules are .gitignore's (gitignore(5)), as the Dev Center promises, but without negation: a line that starts with `!` is not
understood and reported. A pattern with a slash at its start or in its middle is anchored at the root; one that ends in a slash
matches directories alone; what lies in a directory that matches is gone with it, which is the caller's business.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """One pattern: `matcher` sees the path from the root, without a leading slash."""

    pattern: str
    matcher: re.Pattern[str]
    directories_only: bool


@dataclass(frozen=True, slots=True)
class Rules:
    """`refused` are the lines that were not understood."""

    rules: tuple[Rule, ...]
    refused: tuple[str, ...]

    def matches(self, path: str, *, is_directory: bool) -> bool:
        """Say whether this very path is named by a pattern (its parents are the caller's to ask about)."""
        return any(
            rule.matcher.fullmatch(path) is not None and (is_directory or not rule.directories_only)
            for rule in self.rules
        )


def parse(text: str) -> Rules:
    """Read a `.slugignore`; CRLF is tolerated."""
    rules: list[Rule] = []
    refused: list[str] = []
    for raw in text.split("\n"):
        line = _trimmed(raw.removesuffix("\r"))
        if not line or line.startswith("#"):
            continue
        if line.startswith("!"):
            refused.append(line)
            continue
        rule = _rule(line)
        if rule is not None:
            rules.append(rule)
    return Rules(tuple(rules), tuple(refused))


def _trimmed(line: str) -> str:
    """Drop trailing spaces unless a backslash holds them (gitignore(5))."""
    end = len(line)
    while end and line[end - 1] == " " and not _escaped(line, end - 1):
        end -= 1
    return line[:end]


def _escaped(line: str, at: int) -> bool:
    slashes = 0
    while at - 1 - slashes >= 0 and line[at - 1 - slashes] == "\\":
        slashes += 1
    return slashes % 2 == 1


def _rule(line: str) -> Rule | None:
    directories_only = line.endswith("/")
    body = line.removesuffix("/")
    anchored = "/" in body
    body = body.removeprefix("/")
    expression = _expression(body)
    if not body or expression is None:
        return None
    prefix = "" if anchored else "(?:.*/)?"
    return Rule(line, re.compile(prefix + expression, re.DOTALL), directories_only)


def _expression(body: str) -> str | None:
    """Turn a pattern into a regular expression; None for one that can match nothing (an open bracket, a last backslash)."""
    segments = body.split("/")
    parts: list[str] = []
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if segment == "**":
            # `**/` is any number of directories, `/**` everything inside
            if last:
                parts.append(".+" if index else "[^/]*(?:/.*)?")
            else:
                parts.append("(?:.*/)?")
            continue
        translated = _segment(segment)
        if translated is None:
            return None
        parts.append(translated if last else translated + "/")
    return "".join(parts)


def _segment(segment: str) -> str | None:
    out: list[str] = []
    at = 0
    while at < len(segment):
        char = segment[at]
        at += 1
        if char == "*":
            while at < len(segment) and segment[at] == "*":
                at += 1
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            found = _bracket(segment, at)
            if found is None:
                return None
            expression, at = found
            out.append(expression)
        elif char == "\\":
            if at == len(segment):
                return None
            out.append(re.escape(segment[at]))
            at += 1
        else:
            out.append(re.escape(char))
    return "".join(out)


def _bracket(segment: str, at: int) -> tuple[str, int] | None:
    """Read a bracket expression after its `[`: the regular expression and where it ends; None when it stays open."""
    negated = at < len(segment) and segment[at] in "!^"
    at += negated
    members: list[str] = []
    first = True
    while at < len(segment):
        char = segment[at]
        if char == "]" and not first:
            if not members:
                return ("[^/]" if negated else "(?!)"), at + 1
            return ("(?![/])[^" if negated else "(?![/])[") + "".join(members) + "]", at + 1
        first = False
        taken = _member(segment, at)
        if taken is None:
            return None
        low, at = taken
        if segment[at : at + 1] == "-" and segment[at + 1 : at + 2] not in ("", "]"):
            taken = _member(segment, at + 1)
            if taken is None:
                return None
            high, at = taken
            if low <= high:
                members.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            members.append(re.escape(low))
    return None


def _member(segment: str, at: int) -> tuple[str, int] | None:
    if segment[at] != "\\":
        return segment[at], at + 1
    if at + 1 == len(segment):
        return None
    return segment[at + 1], at + 2
