"""Which uids are dynos': what is written, what /etc/subuid grants, and never a person's."""

import pwd

import pytest

from dynod.host import config
from dynod.host.config import BadSettings, settings
from dynod.host.uid_range import BadRange, UidRange, check_free, chosen, entry, read_uids

SUBUID = "me:100000:65536\ndynod:300000:5000\ndynod:900000:10\n"


@pytest.mark.parametrize(
    ("said", "subuid", "got"),
    [
        (None, "", None),
        (None, "me:100000:65536", None),
        (None, SUBUID, UidRange(300_001, 4_999)),
        ("subuid", SUBUID, UidRange(300_001, 4_999)),
        ("400000:16", SUBUID, UidRange(400_001, 15)),
    ],
)
def test_dynod_toml_wins_over_subuid_and_the_first_of_a_range_owns_slugs(said, subuid, got):
    assert chosen(said, subuid) == got


def test_the_first_entry_of_ours_counts():
    assert entry(SUBUID) == "300000:5000"


@pytest.mark.parametrize(
    ("said", "subuid", "says"),
    [
        ("subuid", "me:1:2", 'cannot use uids = "subuid": /etc/subuid has no entry of dynod; add one: dynod:300000:5000'),
        ("300000", "", "cannot use uids '300000': it must be FIRST:COUNT, such as 300000:5000, or subuid"),
        ("300000-305000", "", "it must be FIRST:COUNT"),
        ("300000:15", "", "15 uids are too few; every dyno takes one, so give 16 or more"),
        ("999:100", "", "uids must lie from 1000 to 2147483647"),
        ("2147483600:100", "", "uids must lie from 1000 to"),
        (None, "dynod:x:y", "cannot use dynod's entry in /etc/subuid 'x:y'"),
    ],
)  # fmt: skip
def test_what_is_no_range_is_refused_with_what_is_allowed(said, subuid, says):
    with pytest.raises(BadRange) as caught:
        chosen(said, subuid)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("users", "groups", "says"),
    [
        ([("ann", 300_007)], [], "300007 is the user ann of this machine; set uids = "),
        ([("ann", 300_000)], [], "300000 is the user ann"),  # who would own every slug
        ([], [("staff", 300_015)], "300015 is the group staff"),
    ],
)
def test_nobodys_uid_becomes_a_dynos(users, groups, says):
    with pytest.raises(BadRange, match=r"^cannot run dynos as uids 300000 to 300015: ") as caught:
        check_free(read_uids("300000:16", "uids"), users, groups)
    assert says in str(caught.value)


def test_who_lives_beside_the_range_is_no_matter():
    check_free(read_uids("300000:16", "uids"), [("a", 299_999), ("b", 300_016)], [("g", 0)])


def test_settings_take_the_range_and_refuse_one_that_is_a_real_users(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "SUBUID", str(tmp_path / "subuid"))
    file = tmp_path / "dynod.toml"

    def read(text):
        file.write_text(text)
        return settings({"config": str(file)})

    assert read("").uid_first == 200_000
    (tmp_path / "subuid").write_text(SUBUID)
    assert (read("").uid_first, read("").uid_count) == (300_001, 4_999)
    assert read('uids = "500000:100"').uid_count == 99
    assert read("uid_count = 7").uid_first == 200_000  # older keys say all there is to say
    with pytest.raises(BadSettings, match="cannot use uids and uid_count together"):
        read('uids = "subuid"\nuid_count = 7')
    nobody = pwd.getpwnam("nobody").pw_uid
    with pytest.raises(BadSettings, match=f"{nobody} is the user nobody of this machine"):
        read(f'uids = "{nobody - 20}:40"')
    with pytest.raises(BadSettings, match=f"{nobody} is the user nobody of this machine"):
        read(f"uid_first = {nobody}")


def test_a_dyno_host_that_is_started_alone_takes_its_uids_and_what_it_keeps_ready_from_dynod_toml(
    tmp_path, monkeypatch, capsys
):
    """As under systemd, whose unit knows nothing of dynod.toml."""
    from dynod import __main__ as words

    monkeypatch.setattr(config, "SUBUID", str(tmp_path / "subuid"))
    monkeypatch.setattr(config, "DEFAULT_FILE", str(tmp_path / "dynod.toml"))
    became = []
    monkeypatch.setattr(words.os, "execv", lambda path, argv: became.append(argv[4:]))
    (tmp_path / "dynod.toml").write_text('uids = "300000:5000"\nwarm = 9')
    words._host(["--run", "/r"])
    words._host(["--run", "/r", "--warm", "2"])
    words._host(["--run", "/r", "--uid-first", "7", "--uid-count", "1"])
    assert became == [
        ["--run", "/r", "--uid-first", "300001", "--uid-count", "4999", "--warm", "9"],
        ["--run", "/r", "--warm", "2", "--uid-first", "300001", "--uid-count", "4999"],
        ["--run", "/r", "--uid-first", "7", "--uid-count", "1"],
    ]
    (tmp_path / "dynod.toml").write_text('uids = "1"')
    with pytest.raises(SystemExit):
        words._host([])
    assert capsys.readouterr().err.startswith("dynod host: cannot use uids '1': it must be FIRST:COUNT")
