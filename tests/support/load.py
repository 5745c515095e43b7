"""A running load of requests: clients that ask one after the other, half of them on kept connections."""

import http.client
import threading
import urllib.parse
from dataclasses import dataclass, field

CLIENTS = 4


@dataclass
class Load:
    """Clients that ask one after the other, half of them on connections that are kept. `failed` says how and when."""

    router: str
    app: str
    answered: int = 0
    failed: list = field(default_factory=list)
    _era: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __enter__(self):
        self._threads = [threading.Thread(target=self._ask, args=(n % 2 == 0,)) for n in range(CLIENTS)]
        for thread in self._threads:
            thread.start()
        self.wait_more(20)
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def forgive(self):
        """Forget what failed, and what will of the requests that are under way."""
        with self._changed:
            self._era += 1
            self.failed.clear()

    def wait_more(self, count):
        """Wait until so many more were answered."""
        with self._changed:
            wanted = self.answered + count
            assert self._changed.wait_for(lambda: self.answered >= wanted, 60), f"no answers; {self.failed}"

    def _ask(self, kept):
        url = urllib.parse.urlsplit(self.router)
        connection = None
        while not self._stop.is_set():
            era = self._era
            connection = connection or http.client.HTTPConnection(url.hostname, url.port, timeout=80)
            try:
                connection.request("GET", "/", headers={"Host": f"{self.app}.localhost"})
                answer = connection.getresponse()
                answer.read()
                outcome = None if answer.status == 200 else f"status {answer.status}"
            except (OSError, http.client.HTTPException) as error:
                outcome = f"{type(error).__name__}: {error}"
            with self._changed:
                if outcome is None:
                    self.answered += 1
                elif era == self._era:
                    self.failed.append(outcome)
                self._changed.notify_all()
            if not kept or outcome is not None:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()
