# make test and make check do all their own set-up on a fresh Debian machine with Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PACKAGES := orthanc orthanc-dicomweb dcmtk openssh-server dante-server microsocks nftables iptables iproute2 conntrack procps postgresql nginx-light stunnel4 vsftpd openvpn wireguard-go wireguard-tools openssl lua5.1 slapd ldap-utils

.PHONY: demo test test-probes-100 test-faults test-histories check format fuzz packages clean bench-probes bench-change mutants

# Several at a time, each worker in namespaces of its own, since most tests wait. One after another, on the machine itself:
# PYTEST_ARGS="-n 0"; see docs/testing.md.
test: $(READY) packages
	$(BIN)/python -m pytest -n auto $(PYTEST_ARGS)

# Every row of the table of real servers asked 100 times, where `make test` asks some of them 10 times.
test-probes-100: $(READY) packages
	REMEDIATE_PROBES_COUNT=100 $(BIN)/python -m pytest tests/probes/test_dicom_real_servers.py

# The whole loop on this machine, without root.
demo: $(READY)
	$(BIN)/remediate demo $(DEMO_ARGS)

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# Changes killed with SIGKILL and resumed. On the embedded site 200 at random moments, and one at each journal entry and
# in the middle of each device write: benchmarks/results/crash-matrix.md. On the real site, as root: after each entry that
# announces something, for acl, ae_title, tls_only and web_auth on archives and fronts, unpublish and vpn_only, where `make
# test` takes a telling few.
test-faults: $(READY) packages
	$(BIN)/python -m tests.faults.crashes --each $(FAULTS_ARGS)
	REMEDIATE_FAULTS=all $(BIN)/python -m pytest -n auto tests/e2e/test_ae_title.py tests/e2e/test_ae_title_others.py tests/e2e/test_front.py tests/e2e/test_tls_and_web.py tests/e2e/test_unpublish.py tests/e2e/test_unpublish_router.py tests/e2e/test_vpn_only.py tests/e2e/test_web_fronts.py
	REMEDIATE_FAULTS=all $(BIN)/python -m pytest -n auto tests/e2e/test_spine.py -k killed

# Random histories of several operators, on simulated routers and on real nftables, judged by an oracle that shares
# nothing with the product: benchmarks/results/histories.md. By seed; what held before is not done again, unless
# build/histories is removed. TREE=61c8994: the same on that commit's program. HISTORIES_ARGS=--help.
test-histories: $(READY) packages
	$(BIN)/python -m tests.histories $(if $(TREE),--tree $(TREE)) $(HISTORIES_ARGS)

# Coverage-guided, for a minute; what it finds is kept in build/fuzz. FUZZ_ARGS=--planted: it must find something.
fuzz: $(READY)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev,fuzz]'
	mkdir -p build/fuzz
	$(BIN)/python -m tests.fuzz.decoders -max_total_time=60 -runs=1000000 -timeout=10 -rss_limit_mb=1024 \
	    -artifact_prefix=build/fuzz/ -print_final_stats=1 $(FUZZ_ARGS)

# Each protecting line taken away in turn, and the test that must then be red; see tests/mutants/mutants.yaml.
mutants: $(READY)
	$(BIN)/python -m tests.mutants $(MUTANTS)

# How fast a sweep is beside pynetdicom, nmap, DCMTK and a client in C; see benchmarks/probes/README.md.
bench-probes: $(READY)
	$(BIN)/python benchmarks/probes/run.py $(BENCH_ARGS)

# The whole loop on 200 routers beside bare pushes of the same lines; see benchmarks/change/README.md.
bench-change: $(READY)
	$(BIN)/python benchmarks/change/run.py $(BENCH_ARGS)

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
