# What one does with this project. Everything works on a fresh Debian with python3 and make; the first target that
# needs it makes .venv, which takes about a minute.
#
#   make demo    a pool of three managers on this machine, and what happens when one dies (KEEP=1 keeps its files)
#   make test    all tests, the fast ones first
#   make check   ruff and mypy
#   make bench   the promises, measured, beside other tools too (BENCH="..." passes options)
#   make soak    the simulator without end, after every mutation of the two machines; SOAK=chaos runs schedules of faults
#                on real daemons without end instead (root; JOBS=2 at a time)
#   make long-life   a busy pool for an hour, and whether anything grows (MINUTES=60)
#   make clean   removes what these targets made

PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
RUN := $(VENV)/bin/python

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.PHONY: demo test check bench soak soak-simulation soak-chaos long-life clean venv debian-packages rivals

demo: $(STAMP)
	@KEEP="$(KEEP)" $(VENV)/bin/hadctl demo

test: $(STAMP) debian-packages rivals
	@$(RUN) -m tests.run

check: $(STAMP)
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

bench: $(STAMP) debian-packages rivals
	@$(RUN) -m tests.bench $(BENCH)

SOAK ?= simulation
JOBS ?= 2

soak: soak-$(SOAK)

soak-simulation: $(STAMP)
	-@$(RUN) -m tests.simulation.mutations
	-@$(RUN) -m tests.simulation.replica_mutations
	@$(RUN) -m tests.simulation --soak

soak-chaos: $(STAMP) debian-packages
	@PATH="$(PATH):/usr/sbin:/sbin" $(RUN) -m tests.end_to_end.chaos --soak --jobs $(JOBS)

long-life: $(STAMP)
	@$(RUN) -m tests.bench.long_life --minutes $(or $(MINUTES),60)

venv: $(STAMP)

$(STAMP): pyproject.toml
	@test -x $(RUN) || $(MAKE) --no-print-directory $(VENV)
	@echo "Installing what pyproject.toml names into $(VENV) ..." >&2
	@$(RUN) -m pip install --quiet --editable '.[test,check,live]'
	@touch $@

# Debian ships venv without ensurepip; the package that adds it is installed if we may, else named.
.PHONY: $(VENV)
$(VENV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$(PYTHON) must be Python 3.11 or later (make PYTHON=... names another)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing the Debian package python3-venv ..." >&2; \
	    export DEBIAN_FRONTEND=noninteractive; \
	    apt-get install --yes -qq python3-venv >/dev/null 2>&1 \
	      || { apt-get update -qq && apt-get install --yes -qq python3-venv >/dev/null; }; \
	  else \
	    echo "$(PYTHON) has no venv module: install the package python3-venv, then try again" >&2; exit 1; \
	  fi; }
	@echo "Making $(VENV) ..." >&2
	@$(PYTHON) -m venv $(VENV)

# What some tests need beside Python: promtool, ip, strace. Without them those tests are skipped and say so; this target
# never fails. promtool is unpacked and not installed, since Debian's package would start a Prometheus.
debian-packages:
	@command -v ip >/dev/null || [ -x /usr/sbin/ip ] || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && echo "Installing the Debian package iproute2 ..." >&2 \
	  && DEBIAN_FRONTEND=noninteractive timeout 300 apt-get install --yes -qq iproute2 >/dev/null 2>&1; } \
	  || echo "iproute2 is not installed: tests that need it are skipped" >&2
	@command -v strace >/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	  && echo "Installing the Debian package strace ..." >&2 \
	  && DEBIAN_FRONTEND=noninteractive timeout 300 apt-get install --yes -qq strace >/dev/null 2>&1; } \
	  || echo "strace is not installed: tests that need it are skipped" >&2
	@command -v promtool >/dev/null || [ -x $(VENV)/bin/promtool ] || { \
	  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null \
	  && echo "Fetching promtool from the Debian package prometheus ..." >&2 \
	  && rm -rf $(VENV)/debian && mkdir -p $(VENV)/debian && cd $(VENV)/debian \
	  && timeout 300 apt-get -qq -o APT::Sandbox::User= download prometheus >/dev/null 2>&1 \
	  && dpkg-deb --extract prometheus_*.deb . && rm prometheus_*.deb \
	  && ln -sf ../debian/usr/bin/promtool ../bin/promtool; } \
	  || echo "promtool is not installed: tests that need it are skipped" >&2

# The tools that the bench compares with: keepalived and etcd, with the libraries that this machine lacks. They are
# unpacked and not installed, since Debian's packages would start daemons. Without them they are skipped.
RIVALS := keepalived etcd-server etcd-client
rivals: $(STAMP)
	@PATH="$$PATH:/usr/sbin:/sbin"; { command -v keepalived && command -v etcd && command -v etcdctl; } >/dev/null \
	  || [ -e $(VENV)/rivals/complete ] || { \
	  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null \
	  && echo "Fetching the Debian packages $(RIVALS) ..." >&2 \
	  && rm -rf $(VENV)/rivals && mkdir -p $(VENV)/rivals/archives/partial && cd $(VENV)/rivals \
	  && fetch() { timeout 300 apt-get -qq --yes --download-only --no-install-recommends -o Debug::NoLocking=1 \
	    -o APT::Sandbox::User= -o Dir::Cache::archives="$$PWD/archives" install $(RIVALS) >/dev/null 2>&1; } \
	  && { fetch || { [ "$$(id -u)" = 0 ] && timeout 300 apt-get -qq update >/dev/null 2>&1 && fetch; }; } \
	  && for package in archives/*.deb; do dpkg-deb --extract "$$package" . || exit 1; done \
	  && rm -r archives && touch complete; } \
	  || echo "keepalived and etcd are not installed: the bench and the tests that need them skip them" >&2

clean:
	@if [ -d demo ] && [ -x $(VENV)/bin/hadctl ]; then $(VENV)/bin/hadctl demo --stop >/dev/null 2>&1 || true; fi
	@rm -rf demo $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
