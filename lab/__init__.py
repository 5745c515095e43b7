"""The lab: a Debian 12 machine under qemu in which dynod is installed as a stranger would, and in which much may be broken on purpose.

Owns the disk image (image.py), a running machine and the way into it (machine.py, way.py, agent.py), what can be done to it (faults.py) and
the commands of `make lab`, `lab-run` and `box` (__main__.py). Knows nothing of dynod's code: it sees `make install` and the ports.
"""
