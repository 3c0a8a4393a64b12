# make test and make check do all their own set-up on a fresh Debian machine with Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PACKAGES := orthanc orthanc-dicomweb dcmtk openssh-server dante-server microsocks nftables iptables iproute2 conntrack procps nginx-light vsftpd

.PHONY: demo test check format fuzz packages clean

test: $(READY) packages
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# The whole loop on this machine, without root.
demo: $(READY)
	$(BIN)/remediate demo $(DEMO_ARGS)

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# Coverage-guided, for a minute; what it finds is kept in build/fuzz. FUZZ_ARGS=--planted: it must find something.
fuzz: $(READY)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev,fuzz]'
	mkdir -p build/fuzz
	$(BIN)/python -m tests.fuzz.decoders -max_total_time=60 -runs=1000000 -timeout=10 -rss_limit_mb=1024 \
	    -artifact_prefix=build/fuzz/ -print_final_stats=1 $(FUZZ_ARGS)

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
	    test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	    || { echo "python venv is missing: install it, for example: apt-get install python3-venv" >&2; exit 1; }; \
	    apt-get -o DPkg::Lock::Timeout=300 update -q \
	    && apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends python3-venv; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	@touch $(READY)

# The real site needs Debian packages and root; elsewhere its tests are skipped and say what is missing.
packages:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    dpkg-query -W -f '$${db:Status-Status}\n' $(PACKAGES) 2>/dev/null | grep -cx installed | grep -qx $(words $(PACKAGES)) \
	    || { apt-get -o DPkg::Lock::Timeout=300 update -q >/dev/null \
	         && DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends $(PACKAGES); }; \
	else echo "not root, or no apt-get: the tests of the real site will say what they miss"; fi

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
