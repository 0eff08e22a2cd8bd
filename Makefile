# For a newcomer: `make demo` and `make test`. Each first installs what it needs, into .venv.

.DEFAULT_GOAL := help
SEEDS := 0:300
IMAGE := csi-exoblock:latest
BIN := .venv/bin
# The versions of Kubernetes that are supported beside the newest, with which all tests run.
MINORS := 1.34 1.35 1.36
MINOR_OF := $(if $(MINOR),CSI_EXOBLOCK_TEST_KUBERNETES=$(MINOR))
# Most tests wait for a process that waits: more of them than cores. The longest folders come first.
PYTEST := $(BIN)/pytest --numprocesses 6 --dist loadfile --no-loadscope-reorder
# Each of the test processes would compile all modules once more.
unexport PYTHONDONTWRITEBYTECODE

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 20

setup: .venv/ready ## install Debian packages (as root), Python packages and stubs

.venv/ready: pyproject.toml uv.lock hatch_build.py $(wildcard proto/*.proto) .ci/packages .ci/promtool
	.ci/packages
	test -x $(BIN)/uv || { python3 -m venv .venv && \
	  python3 deploy/image/requirements.py uv | \
	  $(BIN)/pip install --quiet --require-hashes -r /dev/stdin; }
	$(BIN)/uv sync --quiet --frozen --all-extras
	.ci/promtool $(BIN)
	touch $@

lint: setup ## format, lint and types, without changing anything
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

check: lint ## lint and the fast tests, in seconds
	$(PYTEST) -m fast --quiet

test: setup ## what a change can break, in five minutes; as root also on loop devices
	$(BIN)/python -m tests.chart.helm
	$(PYTEST) -m "not kill_points and not schedules and not thorough"

test-thorough: setup ## csi-sanity, killed mkfs, memory, every rendering, both answers of the API: minutes
	$(PYTEST) -m thorough

kill-points: setup ## the driver dies at every step and every request of every call, in minutes
	$(BIN)/pytest -m kill_points

schedules: setup ## fifty and thirty schedules of faults, and drivers broken on purpose, in minutes
	$(BIN)/pytest --numprocesses 2 --dist loadfile -m schedules

test-small-sectors: setup ## the node's tests once more, on disks of 512-byte sectors, as root
	$(PYTEST) tests/node --sector-bytes 512

test-kubernetes: setup ## every flow on a real Kubernetes, in 9 minutes; the first time builds it, in 15
	$(MINOR_OF) $(BIN)/python -m tests.kubernetes test

test-install: setup ## the image built, the chart installed by Helm, its flows; as root, in 10 minutes
	$(MINOR_OF) $(BIN)/python -m tests.install test

test-minors: setup ## the same two on each older Kubernetes that is supported; MINORS=1.34: on one
	@for minor in $(MINORS); do echo "Kubernetes $$minor"; \
	  $(MAKE) test-kubernetes MINOR=$$minor || failed="$$failed $$minor"; \
	  $(MAKE) test-install MINOR=$$minor || failed="$$failed $$minor"; \
	done; test -z "$$failed" || { echo "failed on$$failed" >&2; exit 1; }

test-nodes: setup ## what moves between two real nodes, as root, in 6 minutes; ALL=1: in 15
	$(BIN)/python -m tests.install nodes $(if $(ALL),-m two_nodes)

soak: setup ## claims, moves, kills, outages for HOURS=1 on the chart, watched; as root; SEED=7
	$(BIN)/python -m tests.soak $(if $(HOURS),$(HOURS),1) $(if $(SEED),--seed $(SEED))

cluster-times: setup ## claims and pods on a real Kubernetes, who takes how long; as root, in 6 minutes
	$(BIN)/python -m tests.install times

test-e2e: setup ## Kubernetes' own storage tests on the chart, as root; ONLY=quick: in 8 minutes
	$(BIN)/python -m tests.e2e $(if $(ONLY),$(ONLY),all)

test-velero: setup ## Velero backs up and restores on the chart, as root, in 5 minutes; the first time 20 more
	$(BIN)/python -m tests.kubernetes.cluster.programs
	$(BIN)/python -m tests.velero.programs
	$(BIN)/pytest tests/velero

test-vm: setup ## the node service in a virtual machine, as root and without KVM
	$(BIN)/pytest tests/vm

chaos: setup ## schedules of faults against the controller; SEEDS=0:10000 says which
	$(BIN)/python -m tests.chaos controller run $(SEEDS)

chaos-node: setup ## schedules of faults against the node, as root; SEEDS=0:10000 says which
	$(BIN)/python -m tests.chaos node run $(SEEDS)

chaos-prove: setup ## the schedules find every driver that is broken on purpose, as root
	$(BIN)/python -m tests.chaos controller prove
	$(BIN)/python -m tests.chaos node prove

mutants: setup ## break the driver in one place after another: its tests must notice; SAMPLE=30 SEED=7
	$(BIN)/python -m tests.mutants $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SEED),--seed $(SEED))

image: ## build the container image with docker, podman or buildah; IMAGE=name:tag
	deploy/image/build $(IMAGE)

release-rehearsal: setup ## a release to a registry on this machine, verified; as root; the first time 20 minutes
	$(BIN)/pytest tests/release

release: setup ## build, publish, sign and verify this version, as .github/workflows/release.yml does
	export PATH="$$($(BIN)/python -m tests.release.programs):$$PATH" && \
	  deploy/release/check && deploy/release/build && deploy/release/publish && deploy/release/verify

bench: setup ## figures, as docs/benchmarks.md, in 20 minutes; ONLY=lifecycle,node: these, elsewhere
	$(BIN)/python -m tests.bench $(if $(ONLY),--only $(ONLY))

kubernetes: setup ## a cluster with the chart installed, to play with until Ctrl-C; as root
	$(BIN)/python -m tests.install play

docs: setup ## write what is made from code: docs/options.md, pictures, the dashboard, the chart's pages
	$(BIN)/python -m tests.repository.options_page
	$(BIN)/python -m tests.repository.pictures
	$(BIN)/python -m tests.monitoring.dashboard
	$(BIN)/python -m tests.incidents.incidents
	$(BIN)/python -m tests.repository.chart_pages
	$(BIN)/python -m tests.chart.rendered

site: setup ## the pages of docs/ as a site, in build/site
	$(BIN)/mkdocs build --strict

demo: setup ## one volume through its whole life, on an embedded cloud
	$(BIN)/csi-exoblock demo

clean: ## remove all that is not in the repository, .venv included
	git clean --quiet -d --force -X

.PHONY: help setup lint check test kill-points test-thorough schedules test-small-sectors test-kubernetes test-install test-minors test-nodes soak cluster-times test-e2e test-velero test-vm chaos chaos-node chaos-prove mutants image release-rehearsal release bench kubernetes docs site demo clean
