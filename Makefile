# make install  builds runsc, installs it, and tells Docker of it
# make try      installs what is missing, builds bin/runsc, and starts a shell in a sandbox
# make test     everything that CI runs: unit tests, then the tests of the built command
# make bench    the same programs under runc and under runsc, and the ratio of each

VERSION = $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
ROOTFS ?= /var/cache/casemate/debian12
DEBS ?= /var/cache/casemate/debs
PREFIX ?= /usr/local

# Debian packages: for building and trying, and for the tests besides.
PACKAGES := git ca-certificates procps
TEST_PACKAGES := $(PACKAGES) gcc libc6-dev runc busybox-static debootstrap iproute2 iputils-ping iperf3 curl netcat-openbsd tcpdump iptables nftables conntrack python3 systemd

# $(call install,PACKAGES) installs those that are missing, if it may.
install = missing=; for p in $(1); do dpkg-query -Wf '$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || missing="$$missing $$p"; done; \
	[ -z "$$missing" ] || { \
		[ "$$(id -u)" = 0 ] || { echo "Packages are missing; as root: apt-get install$$missing" >&2; exit 1; }; \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $$missing; }

# $(call harmless,COMMAND) runs tests and fails if they change directories of the host.
host = stat -c "%n %a %u:%g %m" / /dev /dev/shm /proc /run /sys /tmp /var/tmp
harmless = before=$$($(host)); $(1); code=$$?; after=$$($(host)); \
	[ "$$before" = "$$after" ] || { echo "the tests have changed the host: $$before, now $$after" >&2; exit 1; }; exit $$code

.PHONY: all build install try test check unit oracle programs escape run net docker podman oci bench packages test-packages rootfs debs

all: build

packages:
	@$(call install,$(PACKAGES))

test-packages:
	@$(call install,$(TEST_PACKAGES))

build: packages
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/runsc ./runsc

# For Docker, which is installed if there is none, and told of it.
install: build
	@command -v dockerd >/dev/null || { $(call install,docker.io); }
	install -D -m 755 bin/runsc $(PREFIX)/bin/runsc
	$(PREFIX)/bin/runsc install
	@[ ! -e /run/docker.pid ] || kill -HUP "$$(cat /run/docker.pid)"

# Everything after the build happens in one sandbox over the host's files.
try: build
	@bin/runsc do sh -c 'for c in "uname -a" "ps aux" dmesg; do echo "+ $$c"; $$c; done; if [ -t 0 ]; then exec "$${SHELL:-/bin/sh}"; fi'

docker-packages: test-packages
	@$(call install,docker.io tmux)

podman-packages: test-packages
	@$(call install,podman conmon netavark aardvark-dns uidmap slirp4netns catatonit)

rootfs: test-packages
	test/rootfs/build.sh $(ROOTFS)

debs: test-packages
	test/rootfs/packages.sh $(DEBS)

check:
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt: $$unformatted" >&2; exit 1; }
	go vet ./...
	GOARCH=arm64 go build ./...

unit: test-packages check
	@$(call harmless,go test $$(go list ./... | grep -Ev '^casemate/test/(oracle|run|programs|escape|net|docker|podman|oci)(/|$$)'))

net-packages: docker-packages
	@$(call install,openssh-server openssh-client rsync nginx-light haproxy nmap traceroute ethtool bind9-dnsutils wget openssl containernetworking-plugins)

net: net-packages

oracle programs escape run net oci: build rootfs
	@$(call harmless,ROOTFS=$(ROOTFS) go test -count=1 -timeout 20m -p 1 ./test/$@/...)

docker: build rootfs debs docker-packages
	@$(call harmless,ROOTFS=$(ROOTFS) DEBS=$(DEBS) go test -count=1 -timeout 20m ./test/docker)

podman: build podman-packages
	@$(call harmless,go test -count=1 -timeout 10m ./test/podman)

test: unit oracle run programs escape net oci docker podman

bench: build rootfs
	ROOTFS=$(ROOTFS) go run ./test/bench
