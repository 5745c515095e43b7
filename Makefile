# make run | test | check | bench | lab: each sets up what it needs first (Debian's packages, ./.venv from PyPI).
PY      := .venv/bin/python
APT     := python3 python3-venv python3-dev gcc libcap-dev libseccomp2 git make nftables iproute2 procps \
           ca-certificates curl util-linux nodejs npm
BENCH   := bubblewrap runc nginx-light caddy wrk
PYTEST  := $(PY) -m pytest

.PHONY: setup run test check bench lab apt-bench clean

setup: .venv/.done

.venv/.done: pyproject.toml
	@missing=""; for p in $(APT); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	  command -v node >/dev/null && command -v npm >/dev/null && missing=$$(echo " $$missing " | sed 's/ nodejs / /; s/ npm / /'); \
	  if [ -n "$$(echo $$missing)" ]; then echo "installing$$missing"; apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi
	@[ -x $(PY) ] || /usr/bin/python3 -m venv .venv
	@echo "installing Python packages into .venv"; .venv/bin/pip install -q --disable-pip-version-check --use-pep517 -e '.[dev]'
	@touch $@

run: setup
	@exec $(PY) -m dynod quickstart

check: setup
	.venv/bin/ruff format --check dynod router slugc tests benchmarks
	.venv/bin/ruff check dynod router slugc tests benchmarks
	.venv/bin/mypy
	.venv/bin/lint-imports

test: check
	$(PYTEST)

apt-bench:
	@missing=""; for p in $(BENCH); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	  if [ -n "$$missing" ]; then apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi

bench: setup apt-bench
	$(PY) -m benchmarks

lab:
	@echo "the lab machine is not built yet: see CHANGELOG.md"; exit 1

clean:
	rm -rf .venv .cache
