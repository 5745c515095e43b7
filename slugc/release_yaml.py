"""What `bin/release` prints: the small part of YAML that buildpacks write. Pure, strict, and no PyYAML.

Taken: a `---` line, comments, the keys `addons` (list) and `default_process_types`, `config_vars` (maps of strings), `[]`,
`{}`, quoted and plain scalars, and plain ones folded over several lines (Ruby's to_yaml folds at 80 columns). Keys that are not
ours are passed over with what is under them. The rest of YAML is refused by line: a wrong guess would run a wrong command.
"""

from dataclasses import dataclass

_MAPS = ("default_process_types", "config_vars")
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\", "/": "/", "0": "\0", "e": "\x1b", " ": " "}


class BadYaml(ValueError):
    """`line N: what is wrong`."""


@dataclass(frozen=True, slots=True)
class ReleaseInfo:
    """What a buildpack wants of the platform beside the slug."""

    addons: tuple[str, ...] = ()
    default_process_types: tuple[tuple[str, str], ...] = ()
    config_vars: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    indent: int
    text: str


def parse(text: str) -> ReleaseInfo:
    """Read a release document; raise BadYaml."""
    lines = _lines(text)
    addons: tuple[str, ...] = ()
    maps: dict[str, tuple[tuple[str, str], ...]] = {}
    at = 0
    while at < len(lines):
        head = lines[at]
        key, value = _pair(head)
        block: list[_Line] = []
        at += 1
        while at < len(lines) and (lines[at].indent > head.indent or _is_item(lines[at])):
            block.append(lines[at])
            at += 1
        if head.indent:
            raise BadYaml(f"line {head.number}: a key of the document must not be indented")
        if key == "addons":
            addons = _list(head, value, block)
        elif key in _MAPS:
            maps[key] = _map(head, value, block)
    return ReleaseInfo(addons, maps.get("default_process_types", ()), maps.get("config_vars", ()))


def _lines(text: str) -> list[_Line]:
    lines: list[_Line] = []
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = raw.rstrip()
        stripped = line.lstrip(" ")
        if not stripped or stripped.startswith("#") or line in ("---", "--- ", "..."):
            continue
        if stripped.startswith("\t"):
            raise BadYaml(f"line {number}: indented with a tab")
        lines.append(_Line(number, len(line) - len(stripped), stripped))
    return lines


def _is_item(line: _Line) -> bool:
    return line.text == "-" or line.text.startswith("- ")


def _pair(line: _Line) -> tuple[str, str]:
    """Split `key: value`."""
    if line.text[0] in "\"'":
        end = line.text.find(line.text[0], 1)
        key, rest = line.text[1:end], line.text[end + 1 :].lstrip()
        if end < 0 or not rest.startswith(":"):
            raise BadYaml(f"line {line.number}: not `key: value`")
        return key.removeprefix(":"), rest[1:].strip()
    text = line.text.removeprefix(":")  # Ruby symbols
    key, colon, rest = text.partition(":")
    if not colon or (rest and not rest.startswith(" ")) or not key.strip():
        raise BadYaml(f"line {line.number}: not `key: value`")
    return key.strip(), rest.strip()


def _list(head: _Line, value: str, block: list[_Line]) -> tuple[str, ...]:
    value = _uncommented(value)
    if value:
        if block:
            raise BadYaml(f"line {block[0].number}: not expected after `{value}`")
        if value.startswith("[") and value.endswith("]"):
            return tuple(
                _scalar(part.strip(), head.number) for part in value[1:-1].split(",") if part.strip()
            )
        raise BadYaml(f"line {head.number}: a list is expected")
    for line in block:
        if not _is_item(line):
            raise BadYaml(f"line {line.number}: a list is expected")
    return tuple(_scalar(line.text[1:].strip(), line.number) for line in block)


def _map(head: _Line, value: str, block: list[_Line]) -> tuple[tuple[str, str], ...]:
    value = _uncommented(value)
    if value:
        if block or value != "{}":
            raise BadYaml(f"line {head.number}: a map, one `key: value` a line, is expected")
        return ()
    pairs: list[tuple[str, str]] = []
    at = 0
    while at < len(block):
        line = block[at]
        if line.indent != block[0].indent or _is_item(line):
            raise BadYaml(f"line {line.number}: a map, one `key: value` a line, is expected")
        key, text = _pair(line)
        at += 1
        while at < len(block) and block[at].indent > line.indent:  # a folded scalar
            text = f"{text} {block[at].text}"
            at += 1
        pairs.append((key, _scalar(text.strip(), line.number)))
    return tuple(pairs)


def _uncommented(text: str) -> str:
    if text.startswith("#"):
        return ""
    return text.split(" #", 1)[0].rstrip()


def _scalar(text: str, number: int) -> str:
    if text[:1] == "'":
        body, end = _single(text)
    elif text[:1] == '"':
        body, end = _double(text, number)
    else:
        plain = _uncommented(text)
        if plain[:1] in "&*!|>%@`[{" and plain:
            raise BadYaml(f"line {number}: only plain and quoted strings are read here, not {plain[:20]!r}")
        return "" if plain in ("~", "null") else plain
    if end < 0 or _uncommented(text[end:].strip()):
        raise BadYaml(f"line {number}: the quoted string does not end where it should")
    return body


def _single(text: str) -> tuple[str, int]:
    out: list[str] = []
    at = 1
    while at < len(text):
        if text[at] != "'":
            out.append(text[at])
            at += 1
        elif text[at + 1 : at + 2] == "'":
            out.append("'")
            at += 2
        else:
            return "".join(out), at + 1
    return "", -1


def _double(text: str, number: int) -> tuple[str, int]:
    out: list[str] = []
    at = 1
    while at < len(text):
        char = text[at]
        if char == '"':
            return "".join(out), at + 1
        if char == "\\":
            at += 1
            escape = text[at : at + 1]
            if escape not in _ESCAPES or not escape:
                raise BadYaml(f"line {number}: the escape \\{escape} is not read here")
            char = _ESCAPES[escape]
        out.append(char)
        at += 1
    return "", -1
