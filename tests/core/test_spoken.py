"""Whether two versions of the programs understand each other."""

import pytest

from dynod.model.spoken import HOST, LOGPLEX, NET, ROUTES, VERSION, Language

OURS = Language("dyno host", "dyno-host", newest=3, oldest=2)


@pytest.mark.parametrize("language", [HOST, NET, LOGPLEX, ROUTES])
def test_a_program_understands_its_own_version_and_the_first(language):
    assert language.refusal(language.hello()) == ""
    assert language.oldest == 1, (
        "a language that is dropped needs a line in CHANGELOG.md, and two versions' time"
    )


@pytest.mark.parametrize("said", [{"language": 1}, {"language": 4}, {"language": "3"}, {}, None, [3]])
def test_what_is_not_understood_is_refused_with_both_versions_and_the_way_out(said):
    why = OURS.refusal(said)
    assert f"this one is of dynod {VERSION} and knows 2 to 3; systemctl restart dyno-host" in why


def test_one_language_alone_is_named_alone():
    why = HOST.refusal({"language": 2, "version": "9.9.9"})
    assert "dynod 9.9.9, which speaks language 2 to the dyno host" in why
    assert "and knows 1;" in why
