"""What may pass: the one nftables table of an instance, written as a text that a person can read back with `nft list table`.

The table is static: dynos come and go without touching it, because it speaks of interface names and asks the kernel's routes
(fib) whether a source address belongs to the cable it came by. It is loaded by one `nft -f -`, which the kernel takes whole or
not at all. pyroute2's nftables support was looked at and left: it has no wildcard interface names, no fib and no concatenations, and
what it loads cannot be reviewed as text. Nothing here reads or writes another's table, but for `foreign_drops`, which reads.

Also here: net.ipv4.ip_forward and its like for IPv6, which belong to everybody. If we switched one on, our table carries an empty chain that says so;
later instances copy it, and the last one that ends puts it back. So the memory of it survives kill -9 like the table itself.
"""

import contextlib
import fcntl
import json
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from dynod.model.settings import Endpoint
from dynod.net.addresses import ANY_DYNO, Block
from dynod.net.routers import rules

_FORWARD = "/proc/sys/net/ipv4/ip_forward"
_FORWARD6 = "/proc/sys/net/ipv6/conf/all/forwarding"
_MARK = "ip_forward_was_off"
_MARK6 = "ip6_forward_was_off"

RULES = """\
table inet {table}
delete table inet {table}
table inet {table} {{
    chain from_dyno {{
        type filter hook prerouting priority mangle; policy accept;
        iifname != "{prefix}*" accept
        {no_ipv6}
        fib saddr . iif oif missing drop comment "not its own source address"
        ct direction reply ct state established,related accept comment "answers to the router and to the host"
        {resolvers}
        {routers}
        fib daddr type != unicast drop comment "any address of this machine, broadcast, multicast"
        ip daddr 169.254.0.0/16 drop comment "link-local: cloud metadata"
        ip daddr 100.100.100.200 drop comment "metadata (Alibaba)"
        ip daddr 168.63.129.16 tcp dport {{ 80, 32526 }} drop comment "metadata (Azure; its DNS stays)"
        ip6 daddr fe80::/10 drop comment "link-local"
        ip6 daddr {{ {metadata6} }} drop comment "metadata, and IPv4 in disguise"
    }}
    chain to_host {{
        type filter hook input priority filter - 10; policy accept;
        iifname != "{prefix}*" accept
        ct direction reply ct state established,related accept
        {resolvers}
        {routers}
        drop
    }}
    chain through {{
        type filter hook forward priority filter - 10; policy accept;
        iifname "{prefix}*" oifname "{any}*" drop comment "dyno to dyno, of any instance"
        oifname != "{prefix}*" accept
        ct direction reply ct state established,related accept
        drop comment "nobody but this machine connects to a dyno"
    }}
    chain out {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {network} oifname != "{any}*" masquerade
        ip6 saddr {network6} oifname != "{any}*" masquerade
    }}
{marks}}}
"""
# Amazon, Google, Oracle, Scaleway; addresses that stand for IPv4 ones: mapped, NAT64's of 169.254.0.0/16, 6to4's of it
_METADATA6 = "fd00:ec2::/32, fd20:ce::/64, fd00:c1::/32, fd00:42::/32, ::/96, ::ffff:0:0/96, 64:ff9b::a9fe:0/112, 2002:a9fe::/32"


def script(
    block: Block,
    resolvers: Iterable[str],
    *,
    ipv6: bool = False,
    marks: Iterable[str] = (),
    routers: Iterable[Endpoint] = (),
) -> str:
    """Write the table; `resolvers` are asked on port 53 wherever they are (a GCE machine's is its metadata address)."""
    return RULES.format(
        table=block.table,
        prefix=block.prefix,
        any=ANY_DYNO,
        network=block.network,
        network6=block.network6,
        routers="\n        ".join(rules(routers)),
        metadata6=_METADATA6,
        no_ipv6="" if ipv6 else 'meta nfproto ipv6 drop comment "dynos have no IPv6"',
        resolvers=_asked(resolvers),
        marks="".join(f"    chain {mark} {{\n    }}\n" for mark in marks),
    )


def _asked(resolvers: Iterable[str]) -> str:
    """Let questions through to these, of either protocol."""
    addresses = [ip_address(each) for each in resolvers]
    lines = []
    for family, version in (("ip", 4), ("ip6", 6)):
        if servers := ", ".join(str(each) for each in addresses if each.version == version):
            lines.append(f"{family} daddr {{ {servers} }} meta l4proto {{ tcp, udp }} th dport 53 accept")
    return "\n        ".join(lines)


def _nft(*arguments: str, given: str = "") -> str:
    try:
        done = subprocess.run(["nft", *arguments], input=given, text=True, capture_output=True, check=False)
    except FileNotFoundError:
        raise OSError("cannot run nft: it is not installed; apt-get install nftables") from None
    if done.returncode != 0:
        raise OSError(f"cannot load the firewall: nft says {done.stderr.strip()}")
    return done.stdout


def _chains() -> list[dict[str, Any]]:
    found = json.loads(_nft("-j", "list", "chains"))["nftables"]
    return [one["chain"] for one in found if "chain" in one]


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One helper at a time looks at everybody's tables and decides about ip_forward."""
    file = os.open(_FORWARD, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _forwarding(path: str) -> bool:
    with open(path) as file:
        return file.read().strip() != "0"


def _set_forwarding(path: str, value: str) -> None:
    with open(path, "w") as file:
        file.write(value)


def _marked(mark: str) -> set[str]:
    """The tables of instances that live by a forwarding which one of them switched on."""
    return {chain["table"] for chain in _chains() if chain["name"] == mark}


def load(block: Block, resolvers: Iterable[str], routers: Iterable[Endpoint], *, ipv6: bool) -> None:
    """Put our table in force and switch forwarding on, in this order: no packet is forwarded unfiltered."""
    with _alone():
        wanted = {_MARK: _FORWARD, **({_MARK6: _FORWARD6} if ipv6 else {})}
        off = {mark: path for mark, path in wanted.items() if not _forwarding(path)}
        marks = [mark for mark in (_MARK, _MARK6) if mark in off or _marked(mark)]
        _nft("-f", "-", given=script(block, resolvers, ipv6=ipv6, marks=marks, routers=routers))
        for path in off.values():
            _set_forwarding(path, "1")


def unload(block: Block, is_used: Callable[[Block], bool]) -> None:
    """Put forwarding back if nobody else lives by it, then remove our table. `is_used` tells dead tables from others'."""
    with _alone():
        for mark, path in ((_MARK, _FORWARD), (_MARK6, _FORWARD6)):
            marked = _marked(mark)
            others = {
                other for other in marked - {block.table} if is_used(Block(int(other.rpartition("_")[2])))
            }
            if block.table in marked and not others:
                with contextlib.suppress(FileNotFoundError):  # IPv6 went
                    _set_forwarding(path, "0")
        _nft("-f", "-", given=f"table inet {block.table}\ndelete table inet {block.table}\n")


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A chain of somebody else's that drops what dynos send out."""

    owner: str

    def __str__(self) -> str:
        return (
            f"dynos may not reach the internet: {self.owner} drops forwarded packets by policy; "
            f"let them through there (as with: iptables -I DOCKER-USER -i {ANY_DYNO}+ -j ACCEPT; "
            f"iptables -I DOCKER-USER -o {ANY_DYNO}+ -j ACCEPT)"
        )


def foreign_drops(chains: Iterable[dict[str, Any]]) -> tuple[Obstacle, ...]:
    """Find the forward chains of others that drop by policy (Docker, ufw): an accept of ours cannot overrule them."""
    return tuple(
        Obstacle(f"chain {chain['name']} of table {chain['family']} {chain['table']}")
        for chain in chains
        if chain.get("hook") == "forward"
        and chain.get("policy") == "drop"
        and chain["family"] in {"ip", "inet"}
    )


def obstacles() -> tuple[str, ...]:
    """Say what of this machine stands in the dynos' way, one sentence each; empty is good."""
    found = [str(one) for one in foreign_drops(_chains())]
    with contextlib.suppress(FileNotFoundError), open("/proc/net/ip_tables_names") as file:
        if "filter" in file.read().split():
            with contextlib.suppress(FileNotFoundError):
                rules = subprocess.run(
                    ["iptables-legacy", "-S", "FORWARD"], text=True, capture_output=True, check=False
                )
                if "-P FORWARD DROP" in rules.stdout:
                    found.append(str(Obstacle("chain FORWARD of iptables-legacy")))
    return tuple(found)
