# make run | test | check | soak | bench | docs: each sets up what it needs first (Debian's packages, ./.venv from PyPI).
# make install | uninstall: as a systemd service. make lab | lab-run CMD="..." | lab-test | box: the same in a machine under qemu.
# make run ARGS="--router 0.0.0.0:80 --state /srv/dynod" passes flags on (dynod quickstart --help).
PY      := .venv/bin/python
SYSTEM  := /usr/bin/python3
APT     := python3 python3-venv python3-dev gcc libc6-dev libcap-dev libseccomp2 git make nftables iproute2 procps \
           ca-certificates curl util-linux e2fsprogs systemd
NODE    := nodejs npm
BENCH   := bubblewrap runc nginx-light haproxy caddy wrk nghttp2-client
LAB     := mmdebstrap e2fsprogs qemu-system-x86 qemu-utils
SOAK    := tests/soak tests/linux/test_net_many.py
PYTEST  := $(PY) -m pytest
# As `python3 -m venv .venv`, which shows a traceback to who presses Ctrl-C.
VENV    := import signal as s; s.signal(s.SIGINT, s.SIG_DFL); import venv; venv.main([".venv"])
CODE    := dynod router slugc lab tests benchmarks

.PHONY: setup run check test soak bench docs install uninstall lab lab-run lab-test lab-ci lab-setup box clean

setup: .venv/.done .venv/bin/dyno-init .venv/.heads

# The virtual environment is the distribution's Python (dynos see the same one); pip runs again when pyproject.toml changes.
.venv/.done: pyproject.toml
	@sh .ci/packages $(APT)
	@command -v node >/dev/null && command -v npm >/dev/null || sh .ci/packages $(NODE)
	@$(PY) -m pip --version >/dev/null 2>&1 || { echo "making .venv"; rm -rf .venv; $(SYSTEM) -c '$(VENV)'; }
	@echo "installing Python packages into .venv"; $(PY) -m pip install -q --disable-pip-version-check --use-pep517 -e '.[dev]'
	@touch $@

# The dynos' PID 1 in C: 50 KB each instead of 2.7 MB. Where it cannot be compiled, dynod's own serves (dynod/jail/init.py).
.venv/bin/dyno-init: dynod/jail/init.c .venv/.done
	@cc -O2 -Wall -static -o $@ $< || echo "cannot compile $<: dynos will take 2.7 MB more each" >&2

# The router's quick reader of heads and its steps of a handshake. Where they cannot be compiled, Python's own serve (router/compiled.py, hands.py).
.venv/.heads: router/heads.c router/hands.c .ci/heads .venv/.done
	@sh .ci/heads $(PY) router/heads.c router/hands.c || echo "cannot compile $<: the router will take half as much time again" >&2
	@touch $@

run: setup
	@exec $(PY) -m dynod quickstart $(ARGS)

check: setup
	.venv/bin/ruff format --check $(CODE)
	.venv/bin/ruff check $(CODE)
	.venv/bin/mypy
	.venv/bin/lint-imports

# Without pebble (an ACME authority to test with) or btrfs (a disk to clone) the tests that want them say so and are skipped.
test: check
	-@sh .ci/packages pebble btrfs-progs
	$(PYTEST)

# 500 requests a second through deploys, restarts and scales, and 4,000 networks at once: prints what it found (SOAK_ROUNDS=10, SOAK_RATE=500).
soak: setup
	$(PYTEST) -m soak -s --timeout 3600 $(SOAK) $(ARGS)

bench: setup
	@sh .ci/packages $(BENCH)
	$(PY) -m benchmarks

docs: setup
	$(PY) docs/write.py

# As a systemd service: ROUTER=0.0.0.0:80 API=127.0.0.1:5000 are addresses for a first install, DESTDIR a root to write below.
install:
	@sh .ci/packages $(APT)
	@sh systemd/install install

uninstall:
	@sh systemd/install uninstall

# A whole Debian machine under qemu in which the above was done; make lab stays in front, lab-run works beside it or by itself.
lab: lab-setup
	@exec $(PY) -m lab up $(ARGS)

lab-run: lab-setup
	@exec $(PY) -m lab run '$(subst ','\'',$(CMD))'

lab-test: lab-setup
	$(PYTEST) -m lab --timeout 3600 tests/lab $(ARGS)

# What CI runs of it: bounded in time, needs nothing that an earlier run left (LAB_MINUTES=30).
lab-ci: setup
	@exec sh .ci/lab $(LAB)

box: lab-setup
	@exec $(PY) -m lab box

lab-setup: setup
	@sh .ci/packages $(LAB)

clean:
	rm -rf .venv .cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
