"""The repository's own tests inside the machine, in a copy of its sources there: the dyno host is tried where the lab's kernel is."""

from tests.lab.conftest import figure

SOURCES = "pyproject.toml dynod router slugc tests examples"
COPY = (
    f"rm -rf /srv/src && mkdir /srv/src && cd /srv/dynod && cp -r {SOURCES} /srv/src/ && "
    "cc -O2 -Wall -static -o /opt/lab/venv/bin/dyno-init /srv/src/dynod/jail/init.c"
)
PYTEST = "PYTHONPATH=/srv/src /opt/lab/venv/bin/python -m pytest -p no:cacheprovider --timeout 300 -W error"


def passes(machine, rooms, what, **more):
    """Run some of them, which must pass; keep as a figure, and return, how pytest counted them."""
    machine.sh(COPY)
    done = machine.run("bash", "-c", f"cd /srv/src && {PYTEST} {rooms}", cap=3000)
    (*_, last) = done.out.strip().splitlines()
    figure(what, **more, said=last)
    assert done.status == 0, done.out[-6000:] + done.err[-2000:]
    return last
