"""The sweeper: a child of the dyno host that removes what dynos leave, so that a million files hold up no boot.

It freezes cgroups too, which takes some grace periods of the kernel's and the time to reclaim memory.
`Sweeping` is the host's side. One packet per job: {"job": n, "freeze": cgroup or "", "trees": [...], "groups": [...],
"record": directory or "", "project": number or 0} -> {"job": n, "error": "" or why}. Each job has a process of its own: a big tree
does not hold up a small one. Trees are removed, and no longer counted, before the record, so that a host that died in between finds the rest.
"""

import contextlib
import errno
import os
import select
import signal
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn

from dynod.jail import packets, projects
from dynod.jail.cgroups import Cgroups
from dynod.jail.child import Jobs, apart
from dynod.jail.diary import say
from dynod.jail.loop import Loop
from dynod.removal import remove_tree

PATIENCE = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)  # milliseconds


class Sweeping:
    """Jobs for the sweeper; what one that dies had not done its successor does."""

    def __init__(self, loop: Loop, cgroups: Cgroups) -> None:
        self._cgroups = cgroups
        self._jobs = Jobs(loop, "sweeper", lambda door: sweeper(door, cgroups.freeze))

    @property
    def busy(self) -> bool:
        return self._jobs.busy

    def sweep(
        self, trees: Sequence[str], group: str, record: str, done: Callable[[str], None], project: int = 0
    ) -> None:
        """Remove directory trees, a cgroup ('' for none) and a record's directory; then call done(why not, or '').

        `project`: what the trees count for, if they have a quota: `done` comes when nothing is counted for it any more.
        """
        groups = self._cgroups.directories(group) if group else ()
        job = {
            "freeze": "",
            "trees": list(trees),
            "groups": list(groups),
            "record": record,
            "project": project,
        }
        self._jobs.give(job, lambda said, _: done(said["error"]))

    def freeze(self, group: str, done: Callable[[str], None]) -> None:
        """Freeze a cgroup and reclaim its memory, which may take a while; then call done(why not, or '')."""
        job = {"freeze": group, "trees": [], "groups": [], "record": "", "project": 0}
        self._jobs.give(job, lambda said, _: done(said["error"]))


def sweeper(door: socket.socket, freeze: Callable[[str], None]) -> NoReturn:
    """Serve until the host hangs up (packets.Hung)."""
    os.setpriority(os.PRIO_PROCESS, 0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # jobs are reaped by the kernel
    while True:
        job, _ = packets.receive(door)
        apart(partial(_run, door, job, freeze))


def _run(door: socket.socket, job: dict[str, Any], freeze: Callable[[str], None]) -> None:
    error = ""
    try:
        if job["freeze"]:
            freeze(job["freeze"])
        for tree in job["trees"]:
            remove_tree(tree)
        if job["project"]:
            let_go(os.path.dirname(job["trees"][0]), job["project"])
        for group in job["groups"]:
            remove_group(group)
        if job["record"]:
            remove_tree(job["record"])
    except OSError as failed:
        error = str(failed)
    with contextlib.suppress(packets.Hung):
        packets.send(door, {"job": job["job"], "error": error})


def let_go(directory: str, project: int) -> None:
    """Wait until nothing is counted for a project whose trees, in this directory, are removed: its next dyno has all of its quota then.

    Of a removed file more than its name may be left for a moment: XFS frees it in the background, and the kernel holds on to unwritten
    files of a cgroup that has ended, until it has moved them to another's account. Of the latter nobody is told. A file that somebody
    else holds open is counted for as long as that lasts, and is not waited for longer.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for patience in PATIENCE:
            if not any(projects.counted(fd, project)):
                return
            projects.free_removed(fd, project)
            select.select([], [], [], patience / 1000)
        size, files = projects.counted(fd, project)
    finally:
        os.close(fd)
    if size or files:
        say(
            f"{size} bytes in {files} files and directories are removed and still counted for project {project}: somebody holds one of"
            f" them open, and the next dyno of uid {project} has so much less; lsof +L1 tells who"
        )


def remove_group(directory: str) -> None:
    """A group stays busy for some moments after its last process was reaped, and version 1 tells nobody when it is free."""
    for patience in PATIENCE:
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            _remove_children(directory)
            select.select([], [], [], patience / 1000)
        else:
            return
    os.rmdir(directory)


def _remove_children(directory: str) -> None:
    for child in [entry.path for entry in os.scandir(directory) if entry.is_dir()]:
        with contextlib.suppress(OSError):
            os.rmdir(child)
