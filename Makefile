# The commands of this repository. What each needs beyond Rust is said at its target; caches lie outside the checkout.

cache := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/openclaw-usage
deny_version := 0.20.2
duckdb_version := 1.4.1
duckdb := $(cache)/tools/duckdb-$(duckdb_version)
deny := $(cache)/tools/cargo-deny-$(deny_version)/bin/cargo-deny

.PHONY: help test servers duckdb lint deny bench demo dashboards-check dashboards-pictures dashboards-cost
.DELETE_ON_ERROR:

help:
	@echo 'make test     every test, also those against real servers (needs Go and Python 3; the servers are built once, some minutes)'
	@echo 'make lint     formatting, clippy, documentation, licences and sources of dependencies'
	@echo 'make bench    the figures of docs/performance.md, measured on this machine'
	@echo 'make dashboards-check GRAFANA_URL=…   asks a running Grafana for the dashboards, and each of their queries'
	@echo 'make dashboards-pictures   draws docs/img/dashboard-*.png (needs Node, npm, Chromium and Go; about ten minutes)'
	@echo 'make dashboards-cost       what the dashboards ask costs a Prometheus with 90 days (needs Go; about ten minutes)'
	@echo 'make demo     a simulated gateway and the daemon on it'

# The servers come first, so that no test is timed while one is built. `cargo test` alone runs all that needs no server.
test: servers duckdb
	cargo test --features e2e

servers:
	tests/servers/build.sh

# What reads an export as Parquet: some seconds, once per machine.
duckdb: $(duckdb)/.made

$(duckdb)/.made:
	@command -v python3 >/dev/null || { echo 'make duckdb: python3 with venv is needed and not in PATH' >&2; exit 1; }
	python3 -m venv --clear $(duckdb)
	$(duckdb)/bin/pip install --quiet --disable-pip-version-check --only-binary :all: duckdb==$(duckdb_version)
	touch $@

lint: deny
	cargo fmt --check
	cargo clippy --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --document-private-items --all-features

# Part of lint, since the tool is built only once per machine: 1 to 2 minutes on 2 cores, about a second from then on.
# Without `advisories`: that check fetches a database, so it would make the result depend on the day and the network.
deny: $(deny)
	$(deny) --locked check --hide-inclusion-graph bans licenses sources

# Into a folder that the version names: another pin builds anew and an old checkout keeps its own.
$(deny):
	cargo install --debug --locked --quiet cargo-deny --version $(deny_version) --root $(cache)/tools/cargo-deny-$(deny_version)

bench:
	cargo bench

demo:
	cargo run --release -- demo

# Against any running Grafana that has the dashboards; a token goes into GRAFANA_TOKEN.
dashboards-check:
	@test -n '$(GRAFANA_URL)' || { echo 'make dashboards-check: give GRAFANA_URL=http://HOST:3000' >&2; exit 64; }
	cd dashboards/source && go run . --grafana '$(GRAFANA_URL)'

# Five weeks of a simulated gateway in real servers, drawn by Grafana's own components. A debug build does.
dashboards-pictures: servers dashboards/pictures/node_modules/.package-lock.json
	cargo bench --features e2e --profile dev --bench dashboards -- pictures docs/img

dashboards/pictures/node_modules/.package-lock.json: dashboards/pictures/package-lock.json
	@command -v npm >/dev/null || { echo 'make dashboards-pictures: npm is needed and not in PATH; Chromium too' >&2; exit 1; }
	cd dashboards/pictures && npm ci --ignore-scripts --no-audit --no-fund

dashboards-cost: servers
	cargo bench --features e2e --profile dev --bench dashboards -- cost
