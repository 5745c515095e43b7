""".slugignore: a table, a naive twin, and git itself as the judge of what .gitignore means."""

import fnmatch
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slugc.slugignore import parse

TABLE = [
    # pattern, path, is it a directory, matches
    ("*.psd", "a.psd", False, True),
    ("*.psd", "art/deep/a.psd", False, True),
    ("*.psd", "a.psd.txt", False, False),
    ("/test", "test", True, True),
    ("/test", "lib/test", True, False),
    ("test", "lib/test", True, True),
    ("log/", "log", True, True),
    ("log/", "log", False, False),
    ("log/", "a/log", True, True),
    ("docs/*.pdf", "docs/a.pdf", False, True),
    ("docs/*.pdf", "docs/b/a.pdf", False, False),
    ("docs/*.pdf", "x/docs/a.pdf", False, False),
    ("docs/**/*.pdf", "docs/b/c/a.pdf", False, True),
    ("docs/**/*.pdf", "docs/a.pdf", False, True),
    ("**/tmp", "a/b/tmp", True, True),
    ("**/tmp", "tmp", True, True),
    ("a/**", "a/b/c", False, True),
    ("a/**", "a", True, False),
    ("?.txt", "a.txt", False, True),
    ("?.txt", "ab.txt", False, False),
    ("[a-c].txt", "b.txt", False, True),
    ("[!a-c].txt", "b.txt", False, False),
    ("[!a-c].txt", "d.txt", False, True),
    ("[]].txt", "].txt", False, True),
    ("x[.]y", "x.y", False, True),
    (r"\#kept", "#kept", False, True),
    (r"\!kept", "!kept", False, True),
    (r"a\*b", "a*b", False, True),
    (r"a\*b", "axb", False, False),
    (".*", ".env", False, True),
    ("trailing   ", "trailing", False, True),
    (r"space\ ", "space ", False, True),
    ("windows\r", "windows", False, True),
    ("a+b", "a+b", False, True),
    ("a+b", "aab", False, False),
    ("*", "a/b\nc", False, True),
]


@pytest.mark.parametrize(("pattern", "path", "is_directory", "expected"), TABLE)
def test_the_table(pattern, path, is_directory, expected):
    assert parse(pattern).matches(path, is_directory=is_directory) is expected


def test_git_agrees_with_the_table(tmp_path):
    """`git check-ignore` judges each row, where the file system can hold its path."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for pattern, path, is_directory, expected in TABLE:
        if "\r" in pattern:  # our own leniency
            continue
        (tmp_path / ".gitignore").write_text(pattern + "\n")
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if is_directory:
            target.mkdir(exist_ok=True)
        else:
            target.write_text("")
        judged = subprocess.run(
            ["git", "-C", tmp_path, "check-ignore", "-q", "--no-index", path], check=False
        )
        assert (judged.returncode == 0) is expected, (pattern, path)
        subprocess.run(
            ["find", tmp_path, "-mindepth", "1", "-not", "-path", "*/.git*", "-delete"], check=True
        )


def test_comments_and_blank_lines_are_nothing_and_negation_is_reported():
    rules = parse("# a\n\n   \n!keep.txt\n")
    assert rules.rules == ()
    assert rules.refused == ("!keep.txt",)


@pytest.mark.parametrize("pattern", ["/", "[a", "a\\", "//"])
def test_a_pattern_that_can_match_nothing_matches_nothing(pattern):
    rules = parse(pattern)
    assert not rules.matches("a", is_directory=True)
    assert not rules.matches("[a", is_directory=False)


def naive(pattern: str, path: str) -> bool:
    """The slow twin: split at slashes and try everything, fnmatch for one name at a time."""
    anchored = "/" in pattern.rstrip("/")
    parts = pattern.strip("/").split("/")
    names = path.split("/")

    def fits(parts, names):
        if not parts:
            return not names
        if parts[0] == "**":
            if len(parts) == 1:
                return bool(names)
            return any(fits(parts[1:], names[skip:]) for skip in range(len(names) + 1))
        return bool(names) and fnmatch.fnmatchcase(names[0], parts[0]) and fits(parts[1:], names[1:])

    if anchored:
        return fits(parts, names)
    return fnmatch.fnmatchcase(names[-1], parts[0].replace("**", "*"))


@given(
    st.lists(st.sampled_from(["a", "b*", "*", "?", "**", "*.c", "a?c", "[ab]"]), min_size=1, max_size=4),
    st.sampled_from(["", "/"]),
    st.lists(st.sampled_from(["a", "b", "bb", "x.c", "abc", ".c"]), min_size=1, max_size=4),
)
def test_the_fast_matcher_and_the_naive_one_agree(parts, lead, names):
    pattern, path = lead + "/".join(parts), "/".join(names)
    assert parse(pattern).matches(path, is_directory=True) is naive(pattern, path)
