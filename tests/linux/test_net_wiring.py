"""The network helper on a real kernel: who reaches whom, and what is left after every kind of end."""

import asyncio
import errno
import fcntl
import os
import signal
import socket
import struct

import pytest
from support.netlab import LONG, connects, inside, lab

from dynod.host.net_link import NetLink
from dynod.model.refused import Refused
from dynod.net import messages
from dynod.net.addresses import Block
from dynod.net.links import Line, Links
from dynod.net.namespaces import Proc

pytestmark = pytest.mark.linux("nft", "ip", "nsenter")
INTERNET = "198.51.100.2"
MACHINE = "198.51.100.1"


@pytest.fixture
def place():
    with lab() as made:
        yield made


def ask(run, *questions):
    """Ask the helper one thing after the other: ("take", id), ("list",), ..."""

    async def body():
        link = NetLink(run)
        try:
            async with asyncio.timeout(LONG):
                return [await getattr(link, method)(*words) for method, *words in questions]
        finally:
            await link.close()

    return asyncio.run(body())


def start(place, *options):
    run = place.directory()
    return run, place.helper(run, *options)


def test_a_dyno_has_lo_eth0_its_address_and_a_way_out(place):
    run, _ = start(place)
    (wired,) = ask(run, ("take", "a"))

    def look():
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
        with socket.socket() as bound:
            bound.bind((wired.address, 0))
        with open("/proc/thread-self/net/if_inet6") as file:
            return [name for _, name in socket.if_nameindex()], file.read().split()

    names, ipv6 = inside(wired.netns, look)
    assert [name for name in names if name in {"lo", "eth0"}] == ["lo", "eth0"]
    assert ipv6.count("lo") == 1
    assert "eth0" not in ipv6
    assert inside(wired.netns, lambda: mtu("eth0")) == 1400


def mtu(name):
    with socket.socket() as any_socket:
        answer = fcntl.ioctl(any_socket, 0x8921, struct.pack("16s16x", name.encode()))  # SIOCGIFMTU
    return struct.unpack("16si", answer[:20])[1]


def test_the_host_reaches_a_listener_in_a_dyno_and_another_dyno_does_not(place):
    run, _ = start(place)
    a, b = ask(run, ("take", "a"), ("take", "b"))
    port, _ = place.listen(a.netns)
    assert connects(place.machine, (a.address, port), LONG)
    assert not connects(b.netns, (a.address, port))


def test_a_dyno_reaches_no_address_of_the_host(place):
    run, _ = start(place)
    a, b = ask(run, ("take", "a"), ("take", "b"))
    port, _ = place.listen(place.machine)
    for address in (MACHINE, a.gateway, b.gateway):
        assert connects(place.machine, (address, port), LONG)
        assert not connects(a.netns, (address, port)), address
    loopback, _ = place.listen(place.machine, "127.0.0.1")
    assert not connects(a.netns, ("127.0.0.1", loopback))
    assert not connects(a.netns, ("127.0.0.2", port))


def test_no_datagram_of_a_dyno_reaches_the_host_but_an_answer_does(place):
    run, _ = start(place)
    (a,) = ask(run, ("take", "a"))
    host_port, host = place.listen(place.machine, kind=socket.SOCK_DGRAM)
    dyno_port, dyno = place.listen(a.netns, kind=socket.SOCK_DGRAM)
    dyno.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    for target in (MACHINE, a.gateway):
        dyno.sendto(b"unasked", (target, host_port))
    host.sendto(b"ping", (a.address, dyno_port))
    assert dyno.recvfrom(100) == (b"ping", (a.gateway, host_port))
    dyno.sendto(b"answer", (a.gateway, host_port))
    assert host.recvfrom(100)[0] == b"answer"


def test_what_a_dyno_sends_out_has_the_machine_s_address(place):
    run, _ = start(place)
    (a,) = ask(run, ("take", "a"))
    port, listener = place.listen(place.internet)
    assert connects(a.netns, (INTERNET, port), LONG)
    accepted, (source, _) = listener.accept()
    accepted.close()
    assert source == MACHINE


def test_the_metadata_address_is_blocked(place):
    run, _ = start(place)
    (a,) = ask(run, ("take", "a"))
    port, _ = place.listen(place.internet, "169.254.169.254")
    assert connects(place.machine, ("169.254.169.254", port), LONG)
    assert not connects(a.netns, ("169.254.169.254", port))


def test_nobody_outside_reaches_a_dyno_though_he_knows_the_way(place):
    run, _ = start(place)
    (a,) = ask(run, ("take", "a"))
    port, _ = place.listen(a.netns)
    place.ip(place.internet, "route", "add", "172.16.0.0/12", "via", MACHINE)
    assert connects(place.machine, (a.address, port), LONG)
    assert not connects(place.internet, (a.address, port))


@pytest.mark.parametrize("source", ["neighbour", "gateway", "10.1.2.3", "8.8.8.8"])
def test_a_false_source_address_goes_nowhere(place, source):
    """As root inside the dyno's namespace, which no dyno is: the firewall alone must hold."""
    run, _ = start(place)
    a, b = ask(run, ("take", "a"), ("take", "b"))
    false = {"neighbour": b.address, "gateway": a.gateway}.get(source, source)
    port, listener = place.listen(place.internet, kind=socket.SOCK_DGRAM)
    place.ip(a.netns, "addr", "add", f"{false}/32", "dev", "eth0")

    def send(source, text):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind((source, 0))
            sender.sendto(text, (INTERNET, port))

    inside(a.netns, lambda: send(false, b"false"))
    inside(a.netns, lambda: send(a.address, b"true"))
    assert listener.recv(100) == b"true"


def test_two_instances_live_side_by_side_and_their_dynos_do_not_meet(place):
    first, one = start(place, "--end")
    second, other = start(place, "--end")
    (a,), (b,) = ask(first, ("take", "a")), ask(second, ("take", "a"))
    assert a.address != b.address
    port, _ = place.listen(b.netns)
    out, _ = place.listen(place.internet)
    assert not connects(a.netns, (b.address, port))
    assert other.end() == 0
    assert place.forwarding() == "1", "the first instance still lives by it"
    assert connects(a.netns, (INTERNET, out), LONG)
    assert one.end() == 0
    assert place.forwarding() == "0"


def test_a_dyno_reaches_no_dyno_of_an_instance_whose_own_table_is_gone(place):
    """Each instance's last rule keeps its own dynos to itself; this is the other's rule, by which they meet nobody else's either."""
    first, _ = start(place)
    second, _ = start(place)
    (a,), (b,) = ask(first, ("take", "a")), ask(second, ("take", "a"))
    port, _ = place.listen(b.netns)
    (theirs,) = [line for line in place.nft("list", "tables").split("\n") if line.endswith("_1")]
    place.nft("delete", *theirs.split())
    assert connects(place.machine, (b.address, port), LONG)
    assert not connects(a.netns, (b.address, port))
    place.nft("delete", *theirs.replace("_1", "_0").split())
    assert connects(a.netns, (b.address, port), LONG), "it is not the rule that kept them apart"


def test_kill_9_leaves_the_wiring_and_the_next_helper_knows_it(place):
    run, helper = start(place, "--warm", "2")
    a, _ = ask(run, ("take", "a"), ("take", "b"))
    port, _ = place.listen(a.netns)
    out, _ = place.listen(place.internet)
    helper.end(signal.SIGKILL)
    assert connects(place.machine, (a.address, port), LONG)
    assert connects(a.netns, (INTERNET, out), LONG)
    place.helper(run, "--warm", "2")
    listed, again, c, _ = ask(run, ("list",), ("take", "a"), ("take", "c"), ("give", "b"))
    assert sorted(listed) == ["a", "b"]
    assert again == a == listed["a"]
    assert c.address not in {wired.address for wired in listed.values()}
    assert connects(place.machine, (a.address, port), LONG)


def test_what_was_half_made_is_removed_at_the_next_start(place):
    run, helper = start(place, "--warm", "0")
    _, b = ask(run, ("take", "a"), ("take", "b"))
    helper.end(signal.SIGKILL)
    os.unlink(f"{b.netns}.json")
    open(f"{run}/netns/99", "w").close()
    helper = place.helper(run, "--warm", "0")
    assert list(ask(run, ("list",))[0]) == ["a"]
    assert sorted(os.listdir(f"{run}/netns")) == ["0", "0.json", "block"]
    assert [name for name in place.interfaces() if name.startswith("dyno")] == ["dyno0-0"]


def test_a_clean_stop_leaves_dynos_wired_and_one_with_end_leaves_nothing(place):
    place.forward_chain("inet", "others", "accept")
    interfaces, tables, routes = place.interfaces(), place.nft("list", "ruleset"), place.routes()
    run, helper = start(place, "--warm", "2")
    a, *_ = ask(run, ("take", "a"), ("take", "b"))
    port, _ = place.listen(a.netns)
    assert place.forwarding() == "1"
    assert helper.end() == 0
    assert connects(place.machine, (a.address, port), LONG)
    helper = place.helper(run, "--end")
    assert helper.end() == 0
    assert (place.interfaces(), place.nft("list", "ruleset"), place.routes()) == (interfaces, tables, routes)
    assert place.forwarding() == "0"
    assert os.listdir(f"{run}/netns") == []


def test_given_back_is_gone_with_everything_in_it(place):
    run, _ = start(place, "--warm", "0")
    a, _ = ask(run, ("take", "a"), ("give", "a"))
    assert not os.path.exists(a.netns)
    assert not [name for name in place.interfaces() if name.startswith("dyno")]
    assert ask(run, ("list",)) == [{}]


def test_forwarding_that_was_on_stays_on(place):
    place.forward("1")
    _, helper = start(place, "--end")
    helper.end()
    assert place.forwarding() == "1"


def test_an_address_of_the_machine_is_not_taken(place):
    place.ip(place.machine, "addr", "add", "172.16.3.7/24", "dev", "up0")
    run, _ = start(place)
    assert ask(run, ("stat",))[0]["network"] == "172.16.64.0/18"


def test_a_second_helper_in_the_same_directory_is_refused(place):
    run, _ = start(place)
    second = place.helper(run)
    assert second.end() == 1
    assert "cannot start: another dynod net works in" in second.said[0]


def test_somebody_s_forward_chain_that_drops_is_named(place):
    place.forward_chain("ip", "filter", "drop")
    run, _ = start(place)
    (sentence,) = ask(run, ("stat",))[0]["obstacles"]
    assert "chain FORWARD of table ip filter drops forwarded packets by policy" in sentence


def test_nonsense_is_refused_and_the_helper_lives(place):
    run, _ = start(place)
    with pytest.raises(Refused, match="cannot tell which dyno is meant"):
        ask(run, ("take", ""))
    assert ask(run, ("list",)) == [{}]


def test_many_dynos_at_once(place):
    run, _ = start(place)

    async def burst():
        link = NetLink(run)
        wired = await asyncio.gather(*(link.take(str(n)) for n in range(100)))
        await asyncio.gather(*(link.give(str(n)) for n in range(100)))
        await link.close()
        return wired

    assert len({wired.address for wired in asyncio.run(burst())}) == 100
    assert ask(run, ("list",)) == [{}]


def test_a_cable_that_the_kernel_refuses_leaves_nothing_and_the_next_one_comes_about(place):
    block, directory = Block(0), place.directory()
    slot, other = block.slot(1), block.slot(2)
    place.ip(place.machine, "link", "add", slot.interface, "type", "veth", "peer", "name", "other")

    def attempt():
        with Links() as links:
            with pytest.raises(OSError, match=f"cannot wire {slot.interface}: File exists"):
                links.wire(block, slot, f"{directory}/1", 1500, ipv6=False)
            links.wire(block, other, f"{directory}/2", 1500, ipv6=False)
            left = sorted(os.listdir(directory))
            links.unwire(block, [(other, f"{directory}/2")])
        return left, os.listdir(directory)

    assert inside(place.machine, attempt) == (["2"], [])


def test_no_proc_sees_many_namespaces_and_what_was_opened_in_one_that_is_gone_still_works(place):
    def attempt():
        mine = Proc()
        first = os.dup(mine.young())  # held, or the next one might get its number
        old = {os.fstat(mine.young()).st_dev for _ in range(Proc.MOST - 1)}
        conf = os.open("sys/net/ipv4/conf/lo", os.O_PATH, dir_fd=first)
        assert old == {os.fstat(first).st_dev}
        assert os.fstat(mine.young()).st_dev not in {*old, os.stat("/proc").st_dev}
        os.close(first)
        os.close(os.open("forwarding", os.O_RDONLY, dir_fd=conf))
        os.close(conf)
        mine.close()

    inside(place.machine, attempt)


def test_a_refusal_among_many_is_raised_once_all_are_answered(place):
    """An answer that stays unread would be taken for the next question's."""

    def attempt():
        line = Line()
        missing = [messages.up(100_000 + number) for number in range(5000)]
        with pytest.raises(OSError, match="cannot try this: No such device"):
            line.tell("try this", messages.up(1), *missing, messages.up(1))
        line.tell("try that", *missing, ignored={errno.ENODEV})
        line.tell("go on", messages.up(1))
        line.close()

    inside(place.machine, attempt)


def test_no_helper_is_said_clearly(tmp_path):
    with pytest.raises(Refused, match="is dynod net running"):
        ask(str(tmp_path), ("take", "a"))
