"""What becomes of a domain whose certificate does not come, whatever the reason: it is said, and tried again."""

import asyncio
import errno

import pytest
from core.test_domains import told
from ledger_samples import OWNER
from support.waiting import run
from x509_samples import Signer

from dynod.core import domains
from dynod.engine.acm import Acm
from dynod.host.acme import AcmeFailed
from dynod.model.settings import Settings


class Books:
    def __init__(self, ledger, fault):
        self.ledger, self._fault = ledger, fault

    async def commit(self, actor, app, rule):
        assert rule(self.ledger)
        raise self._fault


class Certs:
    """Challenges as routers have them."""

    def __init__(self):
        self.open = {}

    def challenge(self, token, answer):
        self.open[token] = answer

    def answered(self, token):
        del self.open[token]


class Authority:
    def __init__(self, fault):
        self._fault = fault

    async def certificate(self, name, key, proof):
        await proof("token", "token.print")
        if self._fault is not None:
            raise self._fault
        chain, _ = Signer().server(name, key=key)
        return chain


class Served(Acm):
    """With an authority of ours."""

    authority = None

    def _client(self):
        return self.authority or super()._client()


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("authority", "fault", "why"),
    [
        (Authority(AcmeFailed("no such name")), FULL, "no such name"),
        (Authority(None), FULL, "No space left on device"),
        (Authority(LookupError("a bug")), FULL, "a fault of dynod itself"),
        (None, FULL, "cannot use /nowhere.pem, which acme_trusted in dynod.toml names: "),
    ],
)
def test_what_failed_is_said_and_is_due_again(tmp_path, authority, fault, why):
    async def story():
        world = told("www.example.com")
        world.tell(domains.set_acm(world.state, on=True))
        said, certs = asyncio.Queue(), Certs()
        settings = Settings(state=str(tmp_path), acme_trusted="/nowhere.pem")

        async def known():
            assert certs.open

        acm = Served(
            settings,
            Books(world.ledger, fault),
            certs,
            known,
            lambda: OWNER,
            lambda *line: said.put_nowait(line[2]),
        )
        acm.authority = authority
        for _ in range(2):  # the second time because somebody asked for it
            acm.refresh(world.state.app.id)
            line = await said.get()
            assert line.startswith("Cannot fetch a certificate for www.example.com: ")
            assert why in line
            status, reason = acm.status(world.state.domains[0])
            assert (status, why in reason, certs.open) == ("failing", True, {})
        await acm.close()

    run(story())
