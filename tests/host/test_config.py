"""Settings: flags over file over defaults, and refusals that name the place."""

import socket

import pytest

from dynod.host.config import BadSettings, as_argv, endpoint, from_toml, parser, settings
from dynod.model.settings import Endpoint, Settings


def parsed(*argv):
    return settings(vars(parser("dynod up", "").parse_args(argv)))


def test_defaults_without_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr("dynod.host.config.DEFAULT_FILE", str(tmp_path / "absent.toml"))
    assert parsed() == Settings(router_tls=Endpoint("127.0.0.1", 8443))


def test_a_flag_wins_over_the_file(tmp_path):
    file = tmp_path / "dynod.toml"
    file.write_text('api = "127.0.0.1:7001"\nrouter = "127.0.0.1:7002"\nwarm = 0\nboot_timeout = 90\n')
    got = parsed("--config", str(file), "--api", "127.0.0.1:0")
    assert (got.api, got.router) == (Endpoint("127.0.0.1", 0), Endpoint("127.0.0.1", 7002))
    assert got.router_tls == Endpoint("127.0.0.1", 7365)
    assert (got.warm, got.boot_timeout) == (0, 90.0)


def test_what_is_written_for_a_child_reads_back_equal(tmp_path, monkeypatch):
    monkeypatch.setattr("dynod.host.config.DEFAULT_FILE", str(tmp_path / "absent.toml"))
    one = Settings(state="/s", run="/r", api=Endpoint("::1", 1), domain="example.test")
    assert parsed(*as_argv(one, None)) == one


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nope = 1", "'nope' in x.toml: the keys are a"),
        ("api = 5000", "api in x.toml: it must be a text"),
        ('api = "5000"', "api in x.toml '5000': it must be HOST:PORT"),
        ('api = "h:99999"', "port from 0 to 65535"),
        ("router_workers = 0", "router_workers in x.toml = 0: it must be a whole number, 1 or more"),
        ("router_workers = true", "router_workers in x.toml = True"),
        ("router_workers = 1.5", "must be a whole number"),
        ("lab_time = 1", "lab_time in x.toml = 1: it must be true or false"),
        ("stop_grace = -1", "stop_grace in x.toml = -1: it must be a number, above 0"),
        ('disk_ceiling = "sky"', "disk_ceiling in x.toml = 'sky': it is one of auto, quota, image, none"),
        ('domain = ""', "domain in x.toml: it must be a text that is not empty"),
        ('domain = "bad name"', "domain in x.toml 'bad name': it must be a host name in ASCII"),
        ('domain = "bücher.example"', "it must be a host name in ASCII"),
        ('domain = "a..b"', "it must be a host name in ASCII"),
        ('domain = ".localhost"', "it must be a host name in ASCII"),
        (f'domain = "{"a." * 120}b"', "it must be a host name in ASCII"),
        (f'run = "/{"d" * 94}"', "no socket can have a path that long; 94 bytes are the most"),
        ("a = [", "cannot read x.toml"),
    ],
)
def test_a_wrong_value_names_file_key_and_what_is_allowed(text, says):
    with pytest.raises(BadSettings, match=r"(?s).") as caught:
        from_toml(text, "x.toml")
    assert says in str(caught.value)


def test_names_of_hosts_are_taken_in_any_case_and_directories_for_runs_up_to_what_a_socket_can_have():
    for name in ("localhost", "Apps.Example.COM", "xn--bcher-kva.example", "10.0.0.1.nip.io", "a-b.c_d"):
        assert from_toml(f'domain = "{name}"', "f") == {"domain": name.lower()}
    longest = "/" + "d" * 93
    assert from_toml(f'run = "{longest}"', "f") == {"run": longest}
    with socket.socket(socket.AF_UNIX) as probe, pytest.raises(FileNotFoundError):  # and not "path too long"
        probe.bind(f"{longest}/logplex.sock")


def test_a_named_file_must_be_there(tmp_path):
    with pytest.raises(BadSettings, match="there is no such file"):
        parsed("--config", str(tmp_path / "gone.toml"))


def test_endpoints_with_brackets():
    assert endpoint("[::1]:80", "--api") == Endpoint("::1", 80)


def test_an_unknown_flag_ends_with_two_and_one_line(capsys):
    with pytest.raises(SystemExit) as caught:
        parsed("--nope")
    assert caught.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("router", "tls", "got"),
    [
        ("0.0.0.0:80", None, Endpoint("0.0.0.0", 443)),
        ("127.0.0.1:8080", None, Endpoint("127.0.0.1", 8443)),
        ("127.0.0.1:0", None, Endpoint("127.0.0.1", 0)),
        ("127.0.0.1:65500", None, None),
        ("127.0.0.1:8080", "none", None),
        ("127.0.0.1:8080", "[::1]:9", Endpoint("::1", 9)),
    ],
)
def test_tls_is_beside_the_router_unless_somebody_says_otherwise(router, tls, got):
    made = settings({"router": router, "router_tls": tls})
    assert made.router_tls == got
    flags = vars(parser("x", "x").parse_args(as_argv(made, None)))
    assert settings(flags) == made


def test_a_wrong_place_for_tls_is_named_as_it_is_typed():
    with pytest.raises(BadSettings, match="cannot use --router-tls '443'"):
        settings({"router_tls": "443"})


def test_what_prometheus_reads_is_for_this_machine_alone():
    assert settings({}).metrics is None
    assert from_toml('metrics = "none"', "f") == {"metrics": None}
    for local in ("127.0.0.1:9100", "localhost:9100", "[::1]:9100"):
        assert from_toml(f'metrics = "{local}"', "f")["metrics"].port == 9100
    for far in ("0.0.0.0:9100", "192.0.2.1:9100", "example.com:9100"):
        with pytest.raises(BadSettings, match="must be a loopback address"):
            from_toml(f'metrics = "{far}"', "f")
