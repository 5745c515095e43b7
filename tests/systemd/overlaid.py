"""A machine to install on: this one seen through overlays that end with it, so that what is left on it is what lies in their upper layers.

Its systemd, its compiler and its pip are scripts that write down what they were asked.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

LAYERS = "etc opt usr var/lib"
SETUP = """
mount -t tmpfs machine {base}/m
cp -a {base}/bin {base}/m/bin
for top in {layers}; do
  mkdir -p {base}/m/upper/$top {base}/m/work/$top
  [ -d /$top ] || exit 7
done
for top in {layers}; do
  mount -t overlay -o lowerdir=/$top,upperdir={base}/m/upper/$top,workdir={base}/m/work/$top overlay /$top
done
mount -t tmpfs run /run && mkdir -p /run/systemd/system
ip link set lo up
echo ready
read end
"""
PYTHON = """#!/bin/sh
case "$*" in
  "-m venv "*)
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp {base}/m/version "$3/version"
    place=$(realpath "$3") # as venv and pip write it, however they were called
    echo "command = python -m venv $place" >"$3/pyvenv.cfg"
    for word in dyno dynod; do echo "#!$place/bin/python" >"$3/bin/$word"; done ;;
  "-m pip "*) [ ! -e {base}/m/offline ] || {{ echo "ERROR: there is no network" >&2; exit 1; }} ;;
  "-c "*) [ ! -e {base}/m/no-exchange ] || exit 1; exec {python} "$@" ;;
  "-P -m dynod version") [ ! -e {base}/m/broken ] ;;
  *) echo "python $*" >>{base}/m/log ;;
esac
"""
SYSTEMCTL = """#!/bin/sh
echo "systemctl $*" >>{base}/m/log
case "$*" in
  "is-active "*) [ -e {base}/m/active ] ;;
  "show -P CanReload "*) cat {base}/m/active ;;
  "show -P Listen "*) cat /etc/systemd/system/$4 /etc/systemd/system/$4.d/*.conf 2>/dev/null | sed -n 's/^ListenStream=//p' | tail -n 1 | sed 's/$/ (Stream)/' ;;
esac
"""
LOGGED = '#!/bin/sh\necho "{name} $*" >>{base}/m/log\n'
MV = '#!/bin/sh\necho "mv $*" >>{base}/m/log\nexec /bin/mv "$@"\n'


class Machine:
    """`sh` runs a script on it; `left` is what it has that it had not before."""

    def __init__(self, base):
        self.base = base
        (base / "bin").mkdir()
        (base / "m").mkdir()
        scripts = {
            "python3": PYTHON,
            "systemctl": SYSTEMCTL,
            "mv": MV,
            "cc": "#!/bin/sh\nexit 1\n",
            **{
                name: LOGGED.replace("{name}", name)
                for name in ("systemd-run", "systemd-tmpfiles", "systemd-sysusers")
            },
        }
        for name, text in scripts.items():
            (base / "bin" / name).write_text(text.format(base=base, python=sys.executable))
            (base / "bin" / name).chmod(0o755)
        self._life = subprocess.Popen(
            [
                "unshare",
                "--mount",
                "--net",
                "--propagation",
                "private",
                "sh",
                "-ec",
                SETUP.format(base=base, layers=LAYERS),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._life.stdout.readline() == "ready\n"
        self.sh(f"echo one >{base}/m/version")

    def run(self, script, **env):
        argv = [*self.inside, "sh", "-c", f"cd /\n{script}"]
        named = {
            "PATH": f"{self.base}/m/bin:{os.environ['PATH']}",
            "PYTHON": f"{self.base}/m/bin/python3",
            **env,
        }
        return subprocess.run(
            argv, env={"HOME": "/", **named}, capture_output=True, text=True, check=False, timeout=120
        )

    @property
    def inside(self):
        return ["nsenter", "-t", str(self._life.pid), "-m", "-n"]

    def sh(self, script):
        done = self.run(script)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def install(self, target="install", **env):
        done = self.run(f"sh {ROOT}/systemd/install {target}", **env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def log(self):
        """What was asked since the last look."""
        return self.sh(f"touch {self.base}/m/log; cat {self.base}/m/log; : >{self.base}/m/log").splitlines()

    def left(self):
        return set(self.sh(f"cd {self.base}/m/upper && find . -mindepth 1 ! -type d").split())

    def close(self):
        self._life.communicate("end\n")
