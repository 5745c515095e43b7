"""The network helper listens to the control plane's user, where one is named, and but for root to nobody else."""

import asyncio
import os
import stat

import pytest
from support.netlab import LONG, lab

from dynod.host.net_link import NetLink
from dynod.model.refused import Refused

pytestmark = pytest.mark.linux("nft", "ip", "nsenter")
OPERATOR, OTHER = 65_511, 65_512


def answered(run, uid):
    """Whether a user's question is answered."""

    async def ask():
        link = NetLink(run)
        try:
            async with asyncio.timeout(LONG):
                await link.list()
        except Refused:
            return False
        finally:
            await link.close()
        return True

    child = os.fork()
    if child == 0:
        status = 2
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            status = 0 if asyncio.run(ask()) else 1
        finally:
            os._exit(status)
    return {0: True, 1: False}[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]


def test_it_listens_to_its_operator_and_no_other_user():
    with lab() as place:
        run = place.directory()
        os.chmod(run, 0o755)
        place.helper(run, "--operator", str(OPERATOR))
        assert stat.S_IMODE(os.stat(f"{run}/net.sock").st_mode) == 0o600
        assert [answered(run, uid) for uid in (OPERATOR, OTHER, 0)] == [True, False, True]
