"""As root: the tree of a slug belongs to the slug user, and the slug user alone wrote it."""

import gzip
import io
import os
import tarfile

import pytest

from dynod.host.slug_tar import Limits
from dynod.host.slugs import Owner, Slugs

pytestmark = pytest.mark.linux
OWNER = Owner(199_999, 199_999)


def test_no_file_of_a_slug_belongs_to_root_or_carries_a_capability(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, type in (
            ("app/d", tarfile.DIRTYPE),
            ("app/d/f", tarfile.REGTYPE),
            ("app/l", tarfile.SYMTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode = type, "d/f", 0o755
            capability = "\x01\0\0\x02\0\0\0\x20\0\0\0\0\0\0\0\0\0\0\0\0"  # cap_sys_admin
            info.pax_headers = {"SCHILY.xattr.security.capability": capability, "SCHILY.xattr.user.x": "y"}
            tar.addfile(info)
    slugs = Slugs(str(tmp_path), OWNER, Limits(bytes=10**6, entries=100), 10**6)
    slugs.prepare()
    tree = slugs.unpack(slugs.store(io.BytesIO(gzip.compress(buffer.getvalue()))).sha256)
    for path in (tree, f"{tree}/app", f"{tree}/app/d", f"{tree}/app/d/f", f"{tree}/app/l"):
        found = os.lstat(path)
        assert (found.st_uid, found.st_gid) == (OWNER.uid, OWNER.gid), path
        assert os.listxattr(path, follow_symlinks=False) == []


def test_a_tree_of_another_users_stays_with_its_archive_until_it_may_be_removed(tmp_path):
    """An older version's trees are the slug user's: dynos stand on them (host/handover.py)."""
    for path in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        path.chmod(0o755)
    mine = Owner(64_701, 64_701)
    slugs = Slugs(str(tmp_path), mine, Limits(bytes=10**6, entries=100), 10**6)
    slugs.prepare()
    sha = "ab" * 32
    for path, owner in ((tmp_path / "slugs", mine), (tmp_path / "slugs" / sha, OWNER)):
        path.mkdir(exist_ok=True)
        os.chown(path, owner.uid, owner.gid)
    (tmp_path / f"slugs/{sha}.tgz").write_text("")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setresgid(mine.gid, mine.gid, mine.gid)
            os.setresuid(mine.uid, mine.uid, mine.uid)
            slugs.remove(sha)
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert sorted(os.listdir(tmp_path / "slugs")) == [sha, f"{sha}.tgz"]
    slugs.remove(sha)
    assert os.listdir(tmp_path / "slugs") == []
