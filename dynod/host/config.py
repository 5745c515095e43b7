"""Settings from where a person writes them: flags first, then dynod.toml, then the defaults of model.settings.

One entry point, `settings(flags)`; every error names the file or flag, the key and what is allowed. Every program that knows dynod.toml
reads through this, so that a flag of one means the same to the others.
"""

import argparse
import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, NoReturn

from dynod.host.sizes import BadSize, read_sizes
from dynod.host.uid_range import SUBUID, BadRange, UidRange, all_groups, all_users, check_free, chosen
from dynod.model.jail import Ceiling
from dynod.model.settings import Endpoint, Settings

DEFAULT_FILE = "/etc/dynod/dynod.toml"
_FLAGS = ("state", "run", "api", "router", "router_tls", "domain")
_ENDPOINTS = ("api", "router", "router_tls", "metrics")
_MAY_BE_NONE = ("router_tls", "metrics")
_BESIDE = 363  # from 80 to 443, and from 8080 to 8443
_MAX_PORT = 65535
_MIN = {
    "router_workers": 1,
    "router_in_flight": 0,
    "router_backlog": 0,
    "router_websockets": 0,
    "router_connections_per_address": 0,
    "uid_first": 1_000,
    "uid_count": 1,
    "rendezvous_port": 0,
    "warm": 0,
    "log_rate": 0,
}  # everything else that counts: above 0


_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"  # names of a house's own may hold underscores
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LONGEST_DOMAIN = 222  # an app's name and its dot come before it, and 253 are the most (RFC 1035)
_LONGEST_RUN = 107 - len("/logplex.sock")  # unix(7): 108 with the NUL
_MOST = {"rendezvous_port": _MAX_PORT}


class BadSettings(Exception):
    """What was written cannot be used; the text says where and what is allowed."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say it in one line and end with 2, as every word of `dynod` does."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parser(prog: str, about: str) -> argparse.ArgumentParser:
    """Make the parser with the flags that every reader of settings has; add more to it before `settings`."""
    made = _Parser(prog=prog, description=about, allow_abbrev=False)
    made.add_argument("--state", metavar="DIR", help="what outlives a reboot (default /var/lib/dynod)")
    made.add_argument("--run", metavar="DIR", help="sockets and pids (default /run/dynod)")
    made.add_argument("--api", metavar="HOST:PORT", help="Platform API and git (default 127.0.0.1:5000)")
    made.add_argument("--router", metavar="HOST:PORT", help="where apps answer (default 127.0.0.1:8080)")
    made.add_argument(
        "--router-tls",
        metavar="HOST:PORT",
        help="where they answer over TLS, or none (default the router's port + 363: 80 and 443, 8080 and 8443)",
    )
    made.add_argument("--domain", metavar="NAME", help="apps are at APP.NAME (default localhost)")
    made.add_argument("--config", metavar="FILE", help=f"settings (default {DEFAULT_FILE}, if it is there)")
    return made


def endpoint(text: str, where: str) -> Endpoint:
    """Read HOST:PORT, `[::1]:PORT` too; raise BadSettings."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > _MAX_PORT:
        raise BadSettings(
            f"cannot use {where} {text!r}: it must be HOST:PORT with a port from 0 to {_MAX_PORT}, such as 127.0.0.1:5000"
        )
    return Endpoint(host, int(port))


def _local(there: Endpoint, where: str) -> Endpoint:
    """Refuse an address that others than this machine could reach; raise BadSettings."""
    try:
        local = ipaddress.ip_address(there.host).is_loopback
    except ValueError:
        local = there.host == "localhost"
    if not local:
        raise BadSettings(
            f"cannot use {where} {str(there)!r}: it asks nobody who they are, so it must be a loopback address"
        )
    return there


def _domain(text: str, where: str) -> str:
    """Refuse what no browser would send and no certificate can hold; raise BadSettings."""
    name = text.lower()
    if not _HOST_NAME.fullmatch(name) or len(name) > _LONGEST_DOMAIN:
        raise BadSettings(
            f"cannot use {where} {text!r}: it must be a host name in ASCII, such as apps.example.com (bücher.example is xn--bcher-kva.example)"
        )
    return name


def _directory(key: str, text: str, where: str) -> str:
    path = os.path.abspath(text)
    if key == "run" and len(os.fsencode(path)) > _LONGEST_RUN:
        raise BadSettings(
            f"cannot use {where} {path!r}: no socket can have a path that long; {_LONGEST_RUN} bytes are the most"
        )
    return path


def _value(key: str, value: Any, default: Any, where: str) -> Any:
    if key in _ENDPOINTS:
        if not isinstance(value, str):
            raise BadSettings(f"cannot use {where}: it must be a text, such as '127.0.0.1:5000'")
        if key in _MAY_BE_NONE and value == "none":
            return None
        return _local(endpoint(value, where), where) if key == "metrics" else endpoint(value, where)
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise BadSettings(f"cannot use {where} = {value!r}: it must be true or false")
        return value
    if isinstance(default, str):
        if not isinstance(value, str) or not value:
            raise BadSettings(f"cannot use {where}: it must be a text that is not empty")
        if key == "disk_ceiling" and value not in list(Ceiling):
            raise BadSettings(f"cannot use {where} = {value!r}: it is one of {', '.join(Ceiling)}")
        if key == "domain":
            return _domain(value, where)
        return _directory(key, value, where) if key in ("state", "run") else value
    kind = "a whole number" if isinstance(default, int) else "a number"
    least = _MIN.get(key)
    right = isinstance(value, int) or (isinstance(value, float) and isinstance(default, float))
    if isinstance(value, bool) or not right or (value < least if least is not None else value <= 0):
        bound = f"{least} or more" if least is not None else "above 0"
        raise BadSettings(f"cannot use {where} = {value!r}: it must be {kind}, {bound}")
    if value > _MOST.get(key, value):
        raise BadSettings(f"cannot use {where} = {value!r}: it must be {_MOST[key]} or less")
    return float(value) if isinstance(default, float) else value


def from_toml(text: str, name: str) -> dict[str, Any]:
    """Read a settings file's text into keyword arguments of Settings; raise BadSettings naming `name` and the key."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadSettings(f"cannot read {name}: {error}") from error
    defaults = {field.name: field.default for field in fields(Settings)}
    for key in table:
        if key not in defaults:
            raise BadSettings(f"cannot use {key!r} in {name}: the keys are {', '.join(sorted(defaults))}")
    try:
        sizes = {"sizes": read_sizes(table.pop("sizes"), name)} if "sizes" in table else {}
    except BadSize as error:
        raise BadSettings(str(error)) from error
    return sizes | {
        key: _value(key, value, defaults[key], f"{key} in {name}") for key, value in table.items()
    }


def _from_file(path: str | None) -> dict[str, Any]:
    name = path or DEFAULT_FILE
    try:
        with open(name, encoding="utf-8") as file:
            return from_toml(file.read(), name)
    except FileNotFoundError:
        if path is None:
            return {}
        raise BadSettings(f"cannot read {name}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"cannot read {name}: {error}") from error


def _from_flags(flags: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {field.name: field.default for field in fields(Settings)}
    given = {key: flags[key] for key in _FLAGS if flags.get(key) is not None}
    return {
        key: _value(key, value, defaults[key], f"--{key.replace('_', '-')}") for key, value in given.items()
    }


def settings(flags: Mapping[str, Any]) -> Settings:
    """Join parsed flags (`vars(parser(...).parse_args(argv))`) with their file; raise BadSettings."""
    said = {**_from_file(flags.get("config")), **_from_flags(flags)}
    made = _with_uids(said)
    return made if "router_tls" in said else replace(made, router_tls=_beside(made.router))


def _with_uids(said: Mapping[str, Any]) -> Settings:
    """Settle which uids are dynod's; raise BadSettings where they are somebody's."""
    explicit = [key for key in ("uid_first", "uid_count") if key in said]
    if explicit and "uids" in said:
        raise BadSettings(
            f"cannot use uids and {explicit[0]} together: one of them says which uids are dynod's"
        )
    try:
        with open(SUBUID, encoding="utf-8") as file:
            subuid = file.read()
    except (OSError, UnicodeDecodeError):
        subuid = ""
    made = Settings(**said)
    try:
        range_ = None if explicit else chosen(said.get("uids"), subuid)
        if range_ is not None:
            made = replace(made, uid_first=range_.first, uid_count=range_.count)
        check_free(UidRange(made.uid_first, made.uid_count), all_users(), all_groups())
    except BadRange as error:
        raise BadSettings(str(error)) from error
    return made


def _beside(router: Endpoint) -> Endpoint | None:
    """Return where TLS is if nobody says; nowhere, where no port is left."""
    port = router.port + _BESIDE if router.port else 0
    return Endpoint(router.host, port) if port <= _MAX_PORT else None


def as_argv(settings: Settings, config: str | None) -> Sequence[str]:
    """Write settings as the flags that read back equal, for a child program."""
    argv = [
        *("--state", settings.state, "--run", settings.run, "--domain", settings.domain),
        *("--api", str(settings.api), "--router", str(settings.router)),
        *("--router-tls", str(settings.router_tls or "none")),
    ]
    return [*argv, "--config", config] if config is not None else argv
