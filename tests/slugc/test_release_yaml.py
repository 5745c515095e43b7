"""What bin/release of real buildpacks prints, and what is refused rather than guessed."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slugc.release_yaml import BadYaml, ReleaseInfo, parse


@pytest.mark.parametrize(
    ("text", "info"),
    [
        ("", ReleaseInfo()),
        ("---\naddons: []\ndefault_process_types: {}\n", ReleaseInfo()),
        (
            "addons: []\ndefault_process_types:\n  web: npm start\n",
            ReleaseInfo(default_process_types=(("web", "npm start"),)),
        ),
        (
            "---\naddons:\n- heroku-postgresql:hobby-dev\n- rediscloud # cache\nconfig_vars:\n  LANG: en_US.UTF-8\n  A: '1: it''s'\n",
            ReleaseInfo(
                addons=("heroku-postgresql:hobby-dev", "rediscloud"),
                config_vars=(("LANG", "en_US.UTF-8"), ("A", "1: it's")),
            ),
        ),
        ("addons:\n  - a\n  - 'b'\n", ReleaseInfo(addons=("a", "b"))),
        ("addons: [a, 'b']\n", ReleaseInfo(addons=("a", "b"))),
        ("addons:\ndefault_process_types:\n", ReleaseInfo()),
        (
            'default_process_types:\n  web: "java $OPTS -jar \\"a b.jar\\""\n',
            ReleaseInfo(default_process_types=(("web", 'java $OPTS -jar "a b.jar"'),)),
        ),
        (  # folded by Ruby's to_yaml
            "default_process_types:\n  web: bundle exec thin start -R config.ru -e $RACK_ENV\n    -p ${PORT:-5000}\n  rake: x\n",
            ReleaseInfo(
                default_process_types=(
                    ("web", "bundle exec thin start -R config.ru -e $RACK_ENV -p ${PORT:-5000}"),
                    ("rake", "x"),
                )
            ),
        ),
        (
            ":addons: []\n:default_process_types:\n  :web: x\n",
            ReleaseInfo(default_process_types=(("web", "x"),)),
        ),
        ("unknown:\n  deep:\n    - er\naddons: [a]\n", ReleaseInfo(addons=("a",))),
        (
            "default_process_types:\n  web: >-x\n".replace(">-x", "a#b"),
            ReleaseInfo(default_process_types=(("web", "a#b"),)),
        ),
    ],
)
def test_documents(text, info):
    assert parse(text) == info


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("hello\n", 1),
        ("addons: yes\n", 1),
        ("addons:\n  a: b\n", 2),
        ("default_process_types:\n  - web\n", 2),
        ("default_process_types: web\n", 1),
        ("default_process_types:\n  web: |\n    a\n", 2),
        ("default_process_types:\n  web: &a x\n", 2),
        ("default_process_types:\n  web: 'open\n", 2),
        ('default_process_types:\n  web: "a\\x"\n', 2),
        ("default_process_types:\n\tweb: x\n", 2),
        ("  addons: []\n", 1),
        ("addons: []\n  - a\n", 2),
    ],
)
def test_anything_else_is_refused_by_line(text, line):
    with pytest.raises(BadYaml, match=f"^line {line}: "):
        parse(text)


@given(st.text(alphabet=" :-[]{}'\"#\\\n\tab&|", max_size=40))
def test_no_text_breaks_it_otherwise(text):
    with contextlib.suppress(BadYaml):
        assert isinstance(parse(text), ReleaseInfo)
