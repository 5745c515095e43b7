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
