"""The parser, without any platform."""

import pytest

from dynod.cli.options import Usage, parse
from dynod.cli.verbs import BY_NAME, VERBS


def given(line):
    word, *rest = line.split()
    return parse(BY_NAME[word], rest)


def test_flags_may_come_anywhere_and_joined():
    for line in ("ps:scale web=2 -a demo", "ps:scale -ademo web=2", "ps:scale --app=demo web=2"):
        assert (given(line).text("app"), given(line).words) == ("demo", ("web=2",))


def test_a_command_keeps_its_own_flags():
    got = given("run -a demo ls -l --color=never")
    assert got.words == ("ls", "-l", "--color=never")
    assert given("run -a demo -- ls -a").words == ("ls", "-a")


def test_herokus_flags_are_taken_after_the_command_too():
    got = given("run bash -a demo -x")
    assert (got.words, got.text("app"), got.on("exit-code")) == (("bash",), "demo", True)


def test_help_behind_a_command_is_the_commands():
    assert given("run -a demo rake --help").words == ("rake", "--help")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("ps --nope", "cannot use --nope with ps: its flags are --app"),
        ("ps -a", "cannot use -a: it needs a value, APP"),
        ("config:set", "usage: dyno config:set KEY=VALUE... -a APP"),
        ("apps:info a b", "cannot use 'b' with apps:info"),
        ("logs --tail=yes", "--tail takes no value"),
    ],
)
def test_wrong_usage_says_what_is_right(line, says):
    with pytest.raises(Usage) as caught:
        given(line)
    assert says in str(caught.value)


def test_no_name_is_taken_twice():
    names = [name for verb in VERBS for name in (verb.name, *verb.aliases)]
    assert len(names) == len(set(names))


def test_no_verb_has_two_flags_of_one_letter():
    for verb in VERBS:
        shorts = [flag.short for flag in verb.all_flags() if flag.short]
        assert sorted(shorts) == sorted(set(shorts)), verb.name


def test_every_verb_leads_to_a_function():
    from dynod.cli.command import _function

    for verb in VERBS:
        assert callable(_function(verb)), verb.name
