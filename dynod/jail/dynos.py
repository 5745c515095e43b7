"""The dynos of one host: boot, adopt, signal, end, forget. Whoever asks is called back; how they asked is door.py's.

What survives the host's death lies in records.py's files and in the kernel: the next host adopts each dyno whose record
and process are there, and kills whatever lives in one of our cgroups without a record. A log pipe is found again
through the init, which keeps both ends (/proc/PID/fd); where the init is gone too, logplex has its own copy.
"""

import contextlib
import os
import select
import signal
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from dynod.jail import handover, packets, records
from dynod.jail.cgroups import Cgroups
from dynod.jail.check import BadPlan, Rules, check
from dynod.jail.diary import say
from dynod.jail.disks import Disks, Taken
from dynod.jail.dyno import KILLED, Answer, Asked, Dyno
from dynod.jail.enter import Handed
from dynod.jail.idmap import Maps
from dynod.jail.looks import Looks
from dynod.jail.loop import Loop
from dynod.jail.pool import SETTLE, Embryo, Pool
from dynod.jail.records import Ended, Record
from dynod.model.jail import JailPlan, Stdio

UNFORWARDED = (signal.SIGCHLD, signal.SIGSTOP)  # init's own, and one that no process can take


class Dynos:
    """`on_exit(dyno)`, `on_pipe(dyno)` and `on_gone(id)` report to whoever watches."""

    def __init__(
        self,
        loop: Loop,
        cgroups: Cgroups,
        rules: Rules,
        directory: str,
        maps: Maps,
        sweep: Callable[[list[str], str, str, Callable[[str], None]], None],
        freeze: Callable[[str, Callable[[str], None]], None],
    ) -> None:
        """`directory`: RUN/host; `sweep(trees, cgroup, record directory, done)` and `freeze(cgroup, done)` work in the background."""
        self._loop, self._cgroups, self._rules, self._directory = loop, cgroups, rules, directory
        self._maps, self._sweep, self._freeze = maps, sweep, freeze
        self._waiting: deque[Asked] = deque()
        self._undoing: set[str] = set()
        self.all: dict[str, Dyno] = {}
        self.pool: Pool
        self.disks: Disks
        self.looks: Looks
        self.on_exit: Callable[[Dyno], None]
        self.on_pipe: Callable[[Dyno], None]
        self.on_gone: Callable[[str], None]

    # Boot

    def boot(self, asked: Asked) -> None:
        """Start a dyno; the answer is `booted` with descriptors, or `failed` with nothing changed."""
        try:
            check(asked.plan, self._rules)
            self._check_free(asked.plan)
        except BadPlan as error:
            self._refuse(asked, str(error))
            return
        self._waiting.append(asked)
        self.serve()

    def _check_free(self, plan: JailPlan) -> None:
        if plan.id in self.all.keys() | self._undoing | {asked.plan.id for asked in self._waiting}:
            raise BadPlan(f"cannot start {plan.id}: there is one of this name; forget it first")
        for other in self.all.values():
            if other.record.uid == plan.uid and not other.ended:
                raise BadPlan(
                    f"cannot start {plan.id}: uid {plan.uid} is {other.record.id}'s while that runs"
                )

    def serve(self) -> None:
        """Give ready embryos, and what they are to write to, to the boots that wait."""
        while self._waiting:
            self.pool.wanted = len(self._waiting)
            if not self.disks.ready(self._waiting[0].plan.limits, len(self._waiting)):
                return
            one = self.pool.take()
            if one is None:
                return
            self._pass(self._next(), one)

    def refuse_next(self, why: str) -> None:
        """An embryo, or a slot, could not be made: whoever waits longest hears why."""
        if self._waiting:
            asked = self._next()
            self._refuse(asked, f"cannot start {asked.plan.id}: {why}")

    def _next(self) -> Asked:
        asked = self._waiting.popleft()
        self.pool.wanted = len(self._waiting)
        return asked

    def _refuse(self, asked: Asked, why: str) -> None:
        packets.close(asked.stdio)
        _fail(asked.answer, asked.plan.id, why)

    def _pass(self, asked: Asked, one: Embryo) -> None:
        """Put limits in force, open all that the plan names, hand it over; then, while it is being built, the record.

        The plan goes ahead of what it names, for the embryo to read meanwhile. A host that dies before the record is
        written leaves a dyno that the next one does not know and ends.
        """
        plan, opened = asked.plan, list(asked.stdio)
        directory = f"{self._directory}/{plan.id}"
        group, disk = one.name, Taken(-1)
        try:
            packets.send(one.door, asked.said)
            if one.limits != plan.limits:
                self._cgroups.limit(one.name, plan.limits)
            self.pool.usual = plan.limits
            disk = self.disks.take(plan, opened)
            trees = handover.trees(plan, self._rules, self._maps, disk.tree, opened)
            netns = handover.netns(plan, opened)
            pipes = handover.given(plan, asked.stdio) if asked.stdio else handover.pipes(plan, opened)
            os.mkdir(directory, 0o700)
            status = records.open_status(directory)
            opened.append(status)
            packets.send(one.door, "all of it", Handed(trees, status, netns, pipes.theirs).flat())
            group = self._cgroups.rename(one.name, plan.id)
            record = Record(
                plan.id,
                one.pid,
                one.started,
                plan.uid,
                plan.stdio,
                plan.scratch,
                group,
                dict(plan.labels),
                disk.slot,
                disk.device,
                plan.limits.disk,
                plan.limits.inodes,
            )
            records.write(directory, "record", record)
        except (OSError, BadPlan) as error:
            packets.close(opened)
            scratch = plan.scratch if disk.tree >= 0 else ""
            self._undo(plan.id, one, scratch, disk.slot, group, _say(error), asked.answer)
            return
        packets.close([fd for fd in opened if fd not in pipes.ours])
        dyno = Dyno(record, one.pidfd, embryo=one, answer=asked.answer)
        if plan.stdio is Stdio.LOG:
            dyno.log = pipes.ours[0]
        else:
            dyno.handed_out = pipes.ours
        self.all[plan.id] = dyno
        self._loop.read(one.door.fileno(), lambda: self._hear(dyno))
        self._loop.read(one.pidfd, lambda: self._exited(dyno))
        if not self._maps.full:
            self._loop.after(SETTLE, self._maps.fill)
        self.looks.later()

    def _undo(
        self, id: str, one: Embryo, scratch: str, slot: str, group: str, why: str, answer: Answer
    ) -> None:
        """Undo a boot that did not come off, then say why. The embryo had a limit or a plan and is not used again."""

        def undone(error: str) -> None:
            self._undoing.discard(id)
            _quiet(error)
            _fail(answer, id, f"cannot start {id}: {why}")

        self._undoing.add(id)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(one.pidfd, signal.SIGKILL)
        select.select([one.pidfd], [], [])  # rare, and at once
        one.door.close()
        os.close(one.pidfd)
        self.disks.clear(scratch, slot, group, f"{self._directory}/{id}", undone)

    def _hear(self, dyno: Dyno) -> None:
        """The embryo says `up`, or why not; if it died without a word, its pidfd tells."""
        one, answer = dyno.embryo, dyno.answer
        assert one is not None
        assert answer is not None
        try:
            said, fds = packets.receive(one.door)
        except packets.Hung:
            said, fds = {"error": "it was killed while it started"}, []
        self._loop.forget(one.door.fileno())
        dyno.embryo = dyno.answer = None
        id = dyno.record.id
        if "error" in said:
            self._loop.forget(dyno.pidfd)
            packets.close([*dyno.handed_out, *([] if dyno.log is None else [dyno.log])])
            del self.all[id]
            record = dyno.record
            self._undo(id, one, record.scratch, record.slot, record.cgroup, said["error"], answer)
            return
        one.door.close()
        given = [*dyno.handed_out, *fds]
        dyno.handed_out = ()
        answer({"op": "booted", "id": id, "pid": one.pid, "cgroups": self.groups(dyno)}, given)
        if dyno.log is not None:
            self.on_pipe(dyno)

    def groups(self, dyno: Dyno) -> list[str]:
        """The dyno's cgroup directories, for whoever reads its memory."""
        return list(self._cgroups.directories(dyno.record.cgroup))

    # Ends

    def upper(self, id: str) -> int:
        """Open what a dyno wrote, which is there until it is forgotten; raise FileNotFoundError."""
        if id not in self.all:
            raise FileNotFoundError(2, "there is no such dyno", id)
        return self.disks.upper(self.all[id].record)

    def signal(self, id: str, signum: int) -> str:
        """Send a signal to every process of a dyno (its init passes it on); give why not, or ''."""
        dyno = self.all.get(id)
        if dyno is None or dyno.ended:
            return f"cannot signal {id}: " + ("it has ended" if dyno else "there is no such dyno")
        if signum in UNFORWARDED or not 1 <= signum < signal.SIGRTMIN:
            return f"cannot signal {id}: {signum} cannot be sent to a whole dyno"
        with contextlib.suppress(ProcessLookupError):  # it has just ended, which will be told
            signal.pidfd_send_signal(dyno.pidfd, signal.Signals(signum))
        self._thaw(dyno)
        return ""

    # Sleep

    def freeze(self, id: str, answer: Answer) -> None:
        """Let none of a dyno's processes run and take back memory; `answer` comes when that is done."""
        dyno = self.all.get(id)
        if dyno is None or dyno.ended or dyno.answer is not None:
            _fail(answer, id, f"cannot freeze {id}: it is not running")
            return
        dyno.asleep = True
        group = dyno.record.cgroup

        def done(error: str) -> None:
            if dyno.ended:
                self._sweep([], group, "", _quiet)  # it may have been made after the others were removed
            elif not dyno.asleep:
                self._cgroups.thaw(group)
            if error:
                _fail(answer, id, f"cannot freeze {id}: {error}")
            else:
                answer({"op": "done"}, [])

        self._freeze(group, done)

    def thaw(self, id: str) -> str:
        """Let a dyno run on, whether it was frozen or not; give why not, or ''."""
        dyno = self.all.get(id)
        if dyno is None or dyno.ended:
            return f"cannot thaw {id}: " + ("it has ended" if dyno else "there is no such dyno")
        self._thaw(dyno)
        return ""

    def frozen(self, dyno: Dyno) -> bool:
        """Whether its processes stand still; the kernel knows, whoever froze them."""
        return not dyno.ended and self._cgroups.frozen(dyno.record.cgroup)

    def _thaw(self, dyno: Dyno) -> None:
        dyno.asleep = False
        self._cgroups.thaw(dyno.record.cgroup)

    def forget(self, id: str, answer: Answer) -> None:
        """Let a status go once it was taken; `answer` comes when scratch, cgroup and record are gone."""
        dyno = self.all.get(id)
        if dyno is None:
            answer({"op": "done"}, [])
        elif not dyno.ended:
            _fail(answer, id, f"cannot forget {id}: it is running; signal it first")
        else:
            dyno.forgotten.append(answer)
            if dyno.swept and len(dyno.forgotten) == 1:
                self._forget(dyno)

    def _exited(self, dyno: Dyno) -> None:
        if dyno.answer is not None:
            self._hear(dyno)  # it may have said `up` just before
            if dyno.record.id not in self.all:
                return
        self._loop.forget(dyno.pidfd)
        os.close(dyno.pidfd)
        self._end(dyno)

    def _end(self, dyno: Dyno) -> None:
        """Note how a dyno ended, tell, and have its leavings removed. An init that wrote no status was killed."""
        group, directory = dyno.record.cgroup, f"{self._directory}/{dyno.record.id}"
        status, tally = records.read_status(directory), self._cgroups.tally(group)
        try:
            usage = self._cgroups.usage(group)
            peak, oom = usage.peak, usage.oom_kills > 0
        except (OSError, ValueError):  # an earlier host removed it before it could write down the end
            peak, oom = 0, False
        self.looks.at(dyno)
        dyno.ended = Ended(KILLED if status is None else status, oom, peak, tally.to_json())
        records.write(directory, "ended", dyno.ended)
        self.on_exit(dyno)
        self._clear(dyno)

    def _clear(self, dyno: Dyno) -> None:
        """Remove its cgroup. What it wrote stays until it is forgotten, for whoever wants to know what it left."""

        def swept(error: str) -> None:
            if error:
                say(f"cannot clear up after {dyno.record.id}: {error}")
            dyno.swept = True
            if dyno.forgotten:
                self._forget(dyno)

        self._sweep([], dyno.record.cgroup, "", swept)

    def _forget(self, dyno: Dyno) -> None:
        id = dyno.record.id

        def done(error: str) -> None:
            del self.all[id]
            if dyno.log is not None:
                os.close(dyno.log)
                self.on_gone(id)
            for answer in dyno.forgotten:
                if error:
                    _fail(answer, id, f"cannot forget {id}: {error}")
                else:
                    answer({"op": "done"}, [])

        self.disks.clear(dyno.record.scratch, dyno.record.slot, "", f"{self._directory}/{id}", done)

    # A new host after a dead one

    def adopt(self) -> None:
        """Take over what an earlier host left; nothing of its that is unknown lives on."""
        for directory, record in records.all_records(self._directory):
            if record is None:
                self._sweep([], "", directory, _quiet)
            else:
                self.disks.adopt(record)
                self._adopt(record, directory)
        self.disks.adopted({dyno.record.scratch for dyno in self.all.values()})
        known = {dyno.record.cgroup for dyno in self.all.values()}
        for name in self._cgroups.names():
            if name not in known:
                self._cgroups.kill(name)
                self._sweep([], name, "", _quiet)

    def _adopt(self, record: Record, directory: str) -> None:
        dyno = Dyno(record, -1, ended=records.read_ended(directory))
        self.all[record.id] = dyno
        if dyno.ended:
            self._clear(dyno)
            return
        try:
            dyno.pidfd = os.pidfd_open(record.pid)
            if records.start_time(record.pid) != record.started:
                os.close(dyno.pidfd)
                raise ProcessLookupError
        except (ProcessLookupError, FileNotFoundError):
            with contextlib.suppress(OSError):
                self._cgroups.kill(record.cgroup)
            self._end(dyno)
            return
        if record.stdio == Stdio.LOG:
            dyno.log = handover.log_of(record.pid)
        self._loop.read(dyno.pidfd, lambda: self._exited(dyno))
        self.looks.later()

    def end_all(self) -> None:
        """Kill and forget every dyno (`--end-dynos`)."""
        for id, dyno in list(self.all.items()):
            if dyno.ended:
                self.forget(id, _nobody)
            else:
                dyno.forgotten.append(_nobody)
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(dyno.pidfd, signal.SIGKILL)
                self._thaw(dyno)


def _fail(answer: Answer, id: str, error: str) -> None:
    answer({"op": "failed", "id": id, "error": error}, [])


def _nobody(said: Mapping[str, Any], fds: list[int]) -> None:
    """Nobody waits for this answer."""


def _quiet(error: str) -> None:
    if error:
        say(f"cannot clear up: {error}")


def _say(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
