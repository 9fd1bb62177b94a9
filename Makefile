# kubestep. Plain `make` lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory

FUNCTIONS := $(notdir $(patsubst %/main.go,%,$(wildcard functions/*/main.go)))
# make run and make start: which workflow, and how to print its output (table, json or yaml). Without INPUT
# make run uses local/inputs/WORKFLOW.json.
WORKFLOWS := $(patsubst statemachine/%.asl.json,%,$(wildcard statemachine/*.asl.json))
WORKFLOW ?= pod-inventory
OUTPUT ?= table
# make soak: how many executions, how many of them at once, and of how many clusters
# the fleet is. One of 1,000 takes about 5 minutes.
N ?= 1000
CONCURRENCY ?= 20
CLUSTERS ?= 200
# make fuzz: how long each target is fuzzed. Minimizing is limited, because the
# coverage of a connection varies, and minimizing would take all of the time.
FUZZTIME ?= 1m

# PREBUILT=1, or =v1.2.3, takes the control plane of a release instead of building Kubernetes: hack/prebuilt.sh.
PREBUILT ?=

# The same flags for everything that Go builds here: other flags would build all of
# Kubernetes again, and a stamp of the commit would link it again at each commit.
export CGO_ENABLED := 0
export GOFLAGS := $(GOFLAGS) -trimpath -buildvcs=false
STRIP := -s -w
KUBERNETES := v1.37.2
VERSION_FLAGS := -X k8s.io/component-base/version.gitVersion=$(KUBERNETES) \
	-X k8s.io/component-base/version.gitMajor=$(word 2,$(subst ., ,$(subst v,.,$(KUBERNETES)))) \
	-X k8s.io/component-base/version.gitMinor=$(word 2,$(subst ., ,$(KUBERNETES)))
GOLANGCI_LINT := v2.15.0
GOVULNCHECK := v1.9.0
CYCLONEDX_GOMOD := v1.10.0

.PHONY: bench bench-fleet bench-jobs bench-sets bench-quick bench-ready help run prebuilt programs controlplane test race up down soak proofs pictures fuzz build release lint local unit scenarios scenarios-controlplane scenarios-machine need-go need-python deploy start logs destroy lint-go lint-template lint-scripts lint-definition lint-vulnerabilities man requirements schema template need-workflow definition workflows

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# STATE is the folder of the local world's state: each folder can have a world.
STATE ?= .local

run: need-workflow local ## try it: start a cluster on this computer, run a workflow, print its output (WORKFLOW=… INPUT='{…}' OUTPUT=json PREBUILT=1)
	@build/local/local run --state '$(STATE)' --workflow '$(WORKFLOW)' --input '$(subst ','\'',$(INPUT))' --output '$(OUTPUT)'

up: local $(if $(shell command -v aws),,.local/aws/done) ## start the same local world and leave it running, for aws and kubectl
	@build/local/local up --state '$(STATE)'

down: ## end what make up started
	@if [ -x build/local/local ]; then build/local/local down --state '$(STATE)'; else echo "· no local world is running" >&2; fi

test: unit scenarios ## unit tests, then the scenarios on the whole machine (about 20 minutes)

unit: need-go
	@echo "· unit tests, about a minute" >&2
	go test ./...

race: need-go ## the unit tests with Go's race detector, which needs a C compiler
	CGO_ENABLED=1 go test -race -short ./internal/... ./cmd/... ./local/... ./statemachine/...

# Two at once: the one waits for control planes to start and stop, the other for an
# engine of one thread.
scenarios: local .local/aws/done $(if $(shell command -v npm),.local/cdk/done) simulator
	@echo "· scenarios on the whole machine, about 17 minutes without output" >&2
	@$(MAKE) -j2 scenarios-controlplane scenarios-machine

scenarios-controlplane:
	cd local/controlplane && CONTROLPLANE_BINARY=$(CURDIR)/build/local/controlplane go test -count=1 ./...

scenarios-machine:
	cd test && PATH="$(CURDIR)/build/local:$(CURDIR)/.local/aws/bin:$$PATH" go test -count=1 -parallel 12 -timeout 40m ./...

# Evaluates the IAM policies against the calls of the scenarios.
.PHONY: simulator
simulator:
	@if command -v npm >/dev/null; then $(MAKE) --silent .local/node/done; else echo "· Node.js is missing: the IAM policies are not evaluated" >&2; fi

# It applies manifests to the local cluster. The control plane has nine tenths of its packages too.
build/local/kubectl: local/controlplane/go.mod | need-go
	@cd local/controlplane && go build -ldflags '$(STRIP) $(VERSION_FLAGS)' -o ../../$@ k8s.io/kubernetes/cmd/kubectl

.local/aws/done: test/requirements.txt
	@echo "· installing the aws command into .local/aws, once. This takes up to a minute" >&2
	@python3 -m venv .local/aws && .local/aws/bin/pip install --quiet --disable-pip-version-check --require-hashes -r test/requirements.txt && touch $@

# For the test of docs/integrate/app.mjs.
.local/cdk/done: hack/cdk/package.json hack/cdk/package-lock.json hack/cdk/.npmrc
	@echo "· installing aws-cdk-lib into .local/cdk, once. This takes up to a minute" >&2
	@rm -rf .local/cdk && mkdir -p .local/cdk && cp $^ .local/cdk/ && cd .local/cdk && npm ci --ignore-scripts --silent --no-audit --no-fund && touch done

soak: local ## many executions while mappings, bindings and the API server come and go, then a large fleet (N=1000 CONCURRENCY=20 CLUSTERS=200)
	cd test && go test -v -count=1 -timeout 1h ./soak -executions $(N) -at-once $(CONCURRENCY) -clusters $(CLUSTERS)

proofs: local ## what is in a set and what is deleted, with a fault at each request, and two executions in each order; then 20,000 rollouts with faults (an hour)
	cd test && go test -v -count=1 -timeout 4h ./sets -every 1
	cd test && go test -v -count=1 -timeout 4h ./rollouts -seeds 20000

pictures: need-go ## the pictures of the docs in docs/fleet, of the page as it is now: they need Chromium
	go test -count=1 ./internal/fleet/report -run TestThePicturesOfTheDocs -picture $(CURDIR)/docs/fleet
	@ls docs/fleet/*.png

fuzz: need-go ## fuzz what the functions read: inputs, sealed tokens, answers of an API server (FUZZTIME=1m each)
	@grep -roE '^func Fuzz[A-Za-z]+' --include='*_test.go' internal cmd | while IFS=: read -r file target; do \
		go test -run '^$$' -fuzz "^$${target#func }$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "./$$(dirname "$$file")"; \
	done

man: need-go ## the manual page of the command, as build/kubestep.1
	@mkdir -p build && go run ./cmd/kubestep man >build/kubestep.1
	@echo "wrote build/kubestep.1: man -l build/kubestep.1" >&2

# BENCH takes flags of test/bench, such as -pods 1000 -runs 1; or quick, for some of the sizes and fewer runs.
BENCH ?=
QUICK := --pods 1000,10000 --objects 500 --clusters 300 --members 300 --runs 3 --all-namespaces=false
BENCH_FLAGS = $(if $(filter quick,$(BENCH)),$(QUICK),$(BENCH))

bench: bench-ready ## measure, beside other ways to list, to apply and to run Jobs, and write docs/benchmarks.md and docs/benchmarks/ (25 minutes; less with BENCH=quick)
	@build/bench/bench --python .local/bench/venv/bin/python $(BENCH_FLAGS)

bench-quick: bench-ready ## the same with BENCH=quick and without a fleet and a set, into build/bench (5 minutes)
	@build/bench/bench $(QUICK) --clusters 0 --members 0 --out build/bench/quick $(BENCH)
	@cat build/bench/quick/benchmarks.md

bench-ready: local .local/bench/done
	@cd test/bench && go build -ldflags '$(STRIP)' -o ../../build/bench/bench .

bench-fleet: local ## measure a fleet of 1,000 clusters alone, and write docs/benchmarks/fleet.md (10 minutes)
	@cd test/bench && go build -ldflags '$(STRIP)' -o ../../build/bench/bench .
	@build/bench/bench -fleet $(BENCH_FLAGS)

bench-jobs: local ## measure run-job alone, and write docs/benchmarks/jobs.md (2 minutes)
	@cd test/bench && go build -ldflags '$(STRIP)' -o ../../build/bench/bench .
	@build/bench/bench -jobs $(BENCH_FLAGS)

bench-sets: local ## measure a set of 1,000 members alone, and write docs/benchmarks/sets.md (10 minutes)
	@cd test/bench && go build -ldflags '$(STRIP)' -o ../../build/bench/bench .
	@build/bench/bench -sets $(BENCH_FLAGS)

.local/bench/done: test/bench/requirements.txt
	@python3 -m venv .local/bench/venv && .local/bench/venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r test/bench/requirements.txt && touch $@

build: need-go ## the functions as they are deployed: build/NAME/bootstrap for provided.al2023 on arm64
	@for f in $(FUNCTIONS); do \
		GOOS=linux GOARCH=arm64 go build -tags lambda.norpc -ldflags '$(STRIP)' -o build/$$f/bootstrap ./functions/$$f; \
	done
	@echo "built build/NAME/bootstrap: $(FUNCTIONS)"

release: need-go .bin/cyclonedx-gomod-$(CYCLONEDX_GOMOD) ## the files of a release in build/release, the same bytes from the same sources (VERSION=v1.2.3; builds Kubernetes for four platforms)
	@go run ./hack/release -local -version '$(VERSION)' -cyclonedx '$(CURDIR)/.bin/cyclonedx-gomod-$(CYCLONEDX_GOMOD)'

.bin/cyclonedx-gomod-$(CYCLONEDX_GOMOD):
	@echo "· building cyclonedx-gomod $(CYCLONEDX_GOMOD), once" >&2
	@GOBIN=$(CURDIR)/.bin go install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(CYCLONEDX_GOMOD)
	@mv .bin/cyclonedx-gomod $@

# The same programs for this computer, and what replaces AWS and EKS. Python's packages are downloaded meanwhile.
local: need-python $(if $(PREBUILT),,need-go)
	@$(MAKE) --silent -j2 .local/venv/done $(if $(PREBUILT),prebuilt,programs controlplane)

# What each of these says the first time is by hack/build.sh: how many packages are compiled, of how many.
programs: need-go
	@if [ -f build/local/.prebuilt ]; then sed 's/ local_[^ ]*//' build/local/.prebuilt >build/local/.prebuilt.new && mv build/local/.prebuilt.new build/local/.prebuilt; fi
	@if [ ! -x build/local/local ]; then \
		hack/build.sh 'the functions and commands' -tags lambda.norpc ./functions/... ./cmd/kubestep ./local; \
	fi
	@for f in $(FUNCTIONS); do \
		go build -tags lambda.norpc -ldflags '$(STRIP)' -o build/local/$$f/bootstrap ./functions/$$f; \
	done
	@go build -ldflags '$(STRIP)' -o build/local/kubestep ./cmd/kubestep
	@go build -ldflags '$(STRIP)' -o build/local/local ./local

controlplane: programs
	@rm -f build/local/.prebuilt
	@if [ ! -x build/local/controlplane ]; then \
		echo "· building the control plane: etcd, kube-apiserver $(KUBERNETES) with its scheduler and controllers, and aws-iam-authenticator. The first time this takes some minutes, and then never again" >&2; \
		cd local/controlplane && ../../hack/build.sh 'the control plane' ./... k8s.io/kubernetes/cmd/kubectl; \
	fi
	@cd local/controlplane && go build -ldflags '$(STRIP) $(VERSION_FLAGS)' -o ../../build/local/controlplane .
	@$(MAKE) build/local/kubectl

prebuilt:
	@MAKE='$(MAKE)' hack/prebuilt.sh '$(PREBUILT)' build/local

# The Python environment of moto (Step Functions) and of the transform of template.yml. Compiling all of it would take as long as
# installing it: Python compiles what it imports.
.local/venv/done: local/requirements.txt | need-python
	@echo "· installing moto, the local Step Functions, into .local/venv, once. This takes about a minute" >&2
	@rm -rf .local/venv && python3 -m venv .local/venv && hack/progress.sh 'packages of moto found' "$$(grep -c '^[a-z].*==' local/requirements.txt)" '^(Collecting|Ignoring) ' \
		.local/venv/bin/pip install --no-compile --progress-bar off --no-color --disable-pip-version-check --require-hashes -r local/requirements.txt && touch $@

# These pass on what is set on the command line: STACK CLUSTER PARAMS BUCKET NAMESPACE WORKFLOW INPUT OUTPUT SINCE KEEP_RBAC.
deploy: ## deploy to AWS: CLUSTER=… [STACK=kubestep] [PARAMS="NAME=VALUE …"] [BUCKET=…] [NAMESPACE=default]
	@hack/stack.sh deploy

start: need-workflow ## start an execution of the deployed stack and show its states ([STACK=…] [WORKFLOW=…] [INPUT='{…}'] [OUTPUT=json])
	@hack/stack.sh start

logs: ## the functions' logs of the deployed stack ([STACK=…] [SINCE=minutes])
	@hack/stack.sh logs

destroy: ## remove the stack, its code in the bucket and what rbac/ put into the cluster, after you type its name ([STACK=…] [KEEP_RBAC=1] [CONFIRM=name])
	@hack/stack.sh destroy

lint: lint-go lint-template lint-scripts lint-definition lint-vulnerabilities ## the linters: Go, template.yml, scripts, the definition, known vulnerabilities

lint-go: need-go .bin/golangci-lint-$(GOLANGCI_LINT)
	@for module in . local/controlplane test test/bench; do (cd $$module && go mod tidy -diff) || { echo "$$module/go.mod is not tidy: go mod tidy" >&2; exit 1; }; done
	.bin/golangci-lint-$(GOLANGCI_LINT) run ./...
	cd local/controlplane && ../../.bin/golangci-lint-$(GOLANGCI_LINT) run ./...
	cd test && ../.bin/golangci-lint-$(GOLANGCI_LINT) run ./...
	cd test/bench && ../../.bin/golangci-lint-$(GOLANGCI_LINT) run ./...

lint-template: .local/lint/done
	.local/lint/bin/cfn-lint template.yml member.yml docs/integrate/*.yml
	.local/lint/bin/checkov $(addprefix --file ,template.yml member.yml $(wildcard docs/integrate/*.yml)) --config-file hack/checkov.yml

lint-scripts: .local/lint/done
	.local/lint/bin/shellcheck hack/*.sh docs/integrate/*.sh .ci/run

.local/lint/done: hack/requirements.txt
	@echo "· installing cfn-lint, checkov, shellcheck and uv into .local/lint, once" >&2
	@rm -rf .local/lint && python3 -m venv .local/lint && .local/lint/bin/pip install --quiet --disable-pip-version-check --require-hashes -r hack/requirements.txt && touch $@

lint-definition: .local/node/done
	for f in statemachine/*.asl.json docs/integrate/*.asl.json; do node .local/node/asl.js $$f; done

# The validators of the definition, and the simulator of IAM that the scenarios end with.
.local/node/done: hack/package.json hack/package-lock.json hack/.npmrc hack/asl.js hack/iam.js
	@command -v npm >/dev/null || { echo "Node.js is missing, which checks the definition and the IAM policies: https://nodejs.org says how to install it" >&2; exit 1; }
	@echo "· installing the validators of the definition and the IAM simulator into .local/node, once" >&2
	@rm -rf .local/node && mkdir -p .local/node && cp $^ .local/node/ && cd .local/node && npm ci --ignore-scripts --silent --no-audit --no-fund && touch done

workflows: need-go ## write all that is generated of the workflows: their lists, definitions, schemas, template.yml, and tables of the documentation
	go run ./hack/workflows
	@$(MAKE) definition schema template
	go run ./statemachine/tables

definition: need-go ## write the definitions of the state machines, from the Go values in statemachine/
	go run ./statemachine/definition

lint-vulnerabilities: need-go .bin/govulncheck-$(GOVULNCHECK)
	@hack/vulnerabilities.sh .bin/govulncheck-$(GOVULNCHECK)

requirements: .local/lint/done ## pin what runs in Python, with hashes: each requirements.txt, from the requirements.in beside it
	@for f in $$(git ls-files '*requirements.in'); do \
		.local/lint/bin/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-annotate --custom-compile-command 'make requirements' "$$f" -o "$${f%.in}.txt"; \
	done

schema: need-go ## write the JSON Schemas of input and output, from the Go types
	go run ./statemachine/schema

template: need-go ## write template.yml, and the tables of docs/security.md, from the Go values in deploy/
	go run ./deploy/template

.bin/govulncheck-$(GOVULNCHECK):
	@echo "· building govulncheck $(GOVULNCHECK), once" >&2
	@GOBIN=$(CURDIR)/.bin go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK)
	@mv .bin/govulncheck $@

.bin/golangci-lint-$(GOLANGCI_LINT):
	@echo "· building golangci-lint $(GOLANGCI_LINT), once" >&2
	@GOBIN=$(CURDIR)/.bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)
	@mv .bin/golangci-lint $@

need-workflow:
	@[[ ' $(WORKFLOWS) ' == *' $(WORKFLOW) '* ]] || { echo 'WORKFLOW=$(WORKFLOW) is not one of: $(WORKFLOWS)' >&2; exit 1; }

need-python:
	@python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || \
		{ echo "Python 3.10 or newer with its venv module is missing (python3-venv on Debian and Ubuntu), which runs moto, the local Step Functions" >&2; exit 1; }

need-go:
	@command -v go >/dev/null || { echo "Go is missing: https://go.dev/doc/install says how to install it" >&2; exit 1; }
