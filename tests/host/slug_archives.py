"""Slugs as tests make them: entries, archives of them, and a store to put them into."""

import gzip
import io
import os
import tarfile

from dynod.host.slug_tar import Limits
from dynod.host.slugs import Owner, Slugs

LIMITS = Limits(bytes=10_000_000, entries=1_000)


ME = Owner(os.geteuid(), os.getegid())


def entry(name, data=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = 0o644
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def directory(name, **fields):
    return entry(name, type=tarfile.DIRTYPE, **{"mode": 0o755, **fields})


def symlink(name, target):
    return entry(name, type=tarfile.SYMTYPE, linkname=target)


def hardlink(name, target):
    return entry(name, type=tarfile.LNKTYPE, linkname=target)


def archive(path, *entries, format=tarfile.PAX_FORMAT, pack=gzip.compress):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    path = path / "slug.tgz"
    path.write_bytes(pack(buffer.getvalue()))
    return str(path)


def names(path):
    """Everything below a directory, links not followed."""
    return sorted(
        os.path.relpath(os.path.join(top, name), path)
        for top, dirs, files in os.walk(path)
        for name in (*dirs, *files)
    )


HONEST = (
    directory("./"),
    directory("./app/", mode=0o777),
    entry("./app/Procfile", b"web: python3 app.py\n", mtime=1_700_000_000),
    entry("./app/bin/run", b"#!/bin/sh\n", mode=0o777),
    entry("./app/locked", b"x", mode=0o444),
    directory("./app/tmp", mode=0o1777),
    directory("./app/closed", mode=0o000),
    symlink("./app/.venv/bin/python", "/usr/bin/python3"),
    symlink("./app/node_modules/.bin/x", "../x/cli.js"),
    symlink("./app/log", "/dev/stdout"),
    hardlink("./app/Procfile2", "./app/Procfile"),
)


def new_store(tmp_path):
    slugs = Slugs(str(tmp_path / "state"), ME, LIMITS, packed_bytes=1_000_000)
    slugs.prepare()
    return slugs
