"""Logplex, its own process: what dynos, routers and the platform say, a ring per app, live tails.

Read `plex.py` first: it joins the rest. Pure: `lines` (bytes to lines), `records` (lines on the disk), `query` (which lines are
asked for), `tail` (one listener's queue). Effects: `spool` (pipe to file), `intake` (one dyno), `ring` (one app), `pipes` (the
dyno host's socket), `door` (RUN/logplex.sock).

How no line is lost or doubled when this process is killed at any moment: splice(2) moves bytes from a dyno's pipe into its
spool file inside one system call, so they are in the pipe or in the file, never between the two. Lines are cut out of the
spool, and each line's record in the ring carries where in the spool it ended. After a restart cutting goes on behind the last
record that is whole. A machine that loses power may lose its newest lines: nothing is fsynced.

Rejected: read(2), then write(2) (bytes that were read die with the process); one file for ring and spool (a flood in one dyno
would need the lines of all others to be written again); a ring in memory (200 apps of 1,500 lines of 10 kB are 3 GB: the page
cache keeps what is asked for).
"""
