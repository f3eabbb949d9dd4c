# make try: install what is missing, build, and start a shell in a sandbox.
# make test: everything that CI runs.

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
ROOTFS ?= /var/cache/casemate/debian12
PACKAGES := gcc libc6-dev git ca-certificates
TEST_PACKAGES := $(PACKAGES) runc busybox-static debootstrap iproute2 procps

.PHONY: all build try test unit oracle programs escape bench packages test-packages rootfs check

all: build

build:
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/runsc ./runsc

try: build
	@test -t 0 && bin/runsc do --try-shell || bin/runsc do sh -c 'uname -a; ps aux; dmesg'

# Packages of the host that are missing are installed where this runs as root.
test-packages:
	@missing=; for p in $(TEST_PACKAGES); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then apt-get update -q && apt-get install -y -q --no-install-recommends $$missing; fi

rootfs: test-packages
	test/rootfs/build.sh $(ROOTFS)

check:
	@test -z "$$(gofmt -l . | tee /dev/stderr)"
	go vet ./...
	GOARCH=arm64 go build ./...

unit: check
	go test $$(go list ./... | grep -v '^casemate/test/')

oracle programs escape: build rootfs
	ROOTFS=$(ROOTFS) go test -count=1 -timeout 30m ./test/$@

test: unit oracle programs escape

bench: build rootfs
	ROOTFS=$(ROOTFS) go run ./test/bench
