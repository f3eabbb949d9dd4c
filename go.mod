module casemate

go 1.26.0

require (
	github.com/google/subcommands v1.2.0
	github.com/opencontainers/runtime-spec v1.3.0
	golang.org/x/sys v0.49.0
)

require (
	github.com/vishvananda/netlink v1.3.1
	golang.org/x/term v0.47.0
)

require github.com/vishvananda/netns v0.0.5 // indirect
