"""What dynos and later packs source: .profile.d scripts and the pack's `export` file. Heroku's names and defaults.

A dyno has no /sys, so the memory of its size is read from DYNO_RAM (megabytes) and from the cgroup's file where there is one.
"""

import os

_PYTHON_SH = """\
export PATH="$HOME/.heroku/python/bin:$PATH"
export PYTHONUNBUFFERED=true
export LANG="${LANG:-C.UTF-8}"
export PYTHONPATH="${PYTHONPATH:-$HOME}"
export PIP_DISABLE_PIP_VERSION_CHECK=1
"""

_LIBRARIES = """\
export LD_LIBRARY_PATH="$HOME/.heroku/python/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
"""

# Sourced, so it must not exit or leave names behind. The smaller of 2 x cores + 1 and memory / 256 MB.
_CONCURRENCY_SH = """\
_dynod_concurrency() {
  local memory=${DYNO_RAM:-512} limit cores
  if [ -r /sys/fs/cgroup/memory/memory.limit_in_bytes ]; then
    limit=$(( $(cat /sys/fs/cgroup/memory/memory.limit_in_bytes) / 1048576 ))
    [ "$limit" -le 1048576 ] && memory=$limit
  fi
  cores=$(nproc 2>/dev/null || echo 1)
  limit=$(( cores * 2 + 1 ))
  [ $(( memory / 256 )) -lt "$limit" ] && limit=$(( memory / 256 ))
  [ "$limit" -ge 1 ] || limit=1
  export DYNO_RAM=$memory
  export WEB_CONCURRENCY="${WEB_CONCURRENCY:-$limit}"
}
_dynod_concurrency
unset -f _dynod_concurrency
# The router is the only way in, so its X-Forwarded headers can be believed.
export FORWARDED_ALLOW_IPS="${FORWARDED_ALLOW_IPS:-*}"
"""

_GUNICORN_SH = """\
export GUNICORN_CMD_ARGS="${GUNICORN_CMD_ARGS:---access-logfile -}"
"""


def write(build: str, pack: str, home: str, *, copied: bool) -> None:
    """Write .profile.d/ for dynos and `export` for the packs after this one. `copied`: the interpreter is in the slug."""
    os.makedirs(f"{build}/.profile.d", exist_ok=True)
    for name, text in (
        ("python.sh", _PYTHON_SH + (_LIBRARIES if copied else "")),
        ("WEB_CONCURRENCY.sh", _CONCURRENCY_SH),
        ("python.gunicorn.sh", _GUNICORN_SH),
    ):
        with open(f"{build}/.profile.d/{name}", "w", encoding="utf-8") as file:
            file.write(text)
    with open(f"{pack}/export", "w", encoding="utf-8") as file:
        file.write(f'export PATH="{home}/bin:$PATH"\nexport PIP_DISABLE_PIP_VERSION_CHECK=1\n')
