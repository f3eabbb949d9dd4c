// Package control is what runsc and the sandbox say to each other over sockets: JSON
// objects in both directions, descriptors with some of them.
//
// The first connection is the one that the sandbox is started with. Any runsc makes
// another to the socket on which the sandbox listens. On each a request gets one reply;
// but on one that is Attached to a process (Exec, Attach), the next reply is the
// process's end, and requests get none.
package control

import (
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"casemate/runsc/cgroup"
	"casemate/runsc/config"
	"casemate/runsc/hostmount"
	"casemate/runsc/netns"
	"casemate/sentry/kernel"
)

// Descriptors that a sandbox process (runsc boot) finds open at its start. Its
// standard error is where the Go runtime prints when it dies.
const (
	FDControl  = 3 + iota // socket to runsc
	FDListener            // socket to which other runscs connect
	FDGofer               // socket to the first container's gofer
	FDDebugLog            // the debug log, or /dev/null
	FDCapture             // the file of --pcap, or /dev/null
	FDExit                // the file that the first container's exit code is written to
	FDStdin               // the first container's standard input, or its terminal
	FDStdout
	FDStderr
	FDMore // further descriptors that the container's process gets, then the file stores
)

// Descriptors that a gofer process (runsc gofer) finds open at its start.
const (
	FDGoferServer = 3 + iota // socket to the sandbox
	FDGoferConfig            // pipe with the GoferConfig
)

// A Tree is a directory or file of the host that the gofer serves: the root file
// system, which is the first, or the source of a bind mount.
type Tree struct {
	Source    string
	ReadOnly  bool
	Recursive bool // with what is mounted below
	Shared    bool // the host may change it while the sandbox runs
	// MountPoints are made in a tree before it becomes read-only, if they are missing.
	MountPoints []MountPoint `json:",omitempty"`
}

// A MountPoint is a path in a tree on which the sandbox mounts a directory or a file.
type MountPoint struct {
	Path string
	File bool
}

// GoferConfig is what a gofer process reads first.
type GoferConfig struct {
	Trees   []Tree
	ID      string
	Scratch string // a directory that the gofer mounts over, in its own namespace
}

// Boot is the first message to a sandbox: all that it needs to start. The first
// container, which is the sandbox's as a whole, ends with it.
type Boot struct {
	Container
	Version  string
	Config   config.Config
	HostRoot bool // the root is the host's own file system (runsc do)
}

// A Container is all that a sandbox needs to make a container. Its descriptors are the
// gofer's socket, standard input, output and error, Preserved further ones, and a file for
// each of Stores.
type Container struct {
	ID     string
	Bundle string // directory on the host, for hooks
	Spec   *specs.Spec
	// BindTrees gives for each index in Spec.Mounts that is a bind mount the tree that
	// it comes from.
	BindTrees map[int]int
	Shared    map[int]bool // trees that the host may change
	// Joins are the containers of the sandbox whose namespaces it shares, by the types of
	// those; OwnNetwork says that its network namespace is its own whatever path it has in
	// the configuration. Neither counts for the first container.
	Joins      map[string]string
	OwnNetwork bool
	// Stores are the trees below an overlay that is kept in a file of the host.
	Stores []int
	// Limits are those of its group on the host; Hierarchies say what it sees of where it is.
	Limits      cgroup.Limits
	Hierarchies []kernel.Hierarchy
	// Mounts are where the trees come from, as mountinfo shows it.
	Mounts []hostmount.Mount
	// Nice is the nice value of its processes: that of who creates it.
	Nice int
	Stdio
}

// Stdio says what a process's descriptors are.
type Stdio struct {
	Terminal  bool // all three are one terminal of the host in raw mode
	Size      WindowSize
	Preserved int // number of descriptors from 3 on
}

// WindowSize is a terminal's size in characters and pixels.
type WindowSize struct {
	Rows, Cols, X, Y uint16
}

// A Request is any later message to a sandbox. One of its fields is set.
type Request struct {
	// Create makes another container.
	Create *Container `json:",omitempty"`
	// Start runs the first process of a container that has been created. If the connection
	// ends without Started after it, the container is killed: who starts it has been killed
	// before it could say that it had.
	Start   string `json:",omitempty"`
	Started bool   `json:",omitempty"`
	// Network is what the sandbox takes over of the host before the start; nil: nothing.
	// Its packet sockets come with the request.
	Network *netns.Network `json:",omitempty"`
	// Attach binds the connection to the first process of a container. If Kill is
	// set too the end of the connection kills it.
	Attach string `json:",omitempty"`
	Kill   bool   `json:",omitempty"`
	// Exec runs another process in a container and attaches to it; the end of the
	// connection kills it.
	Exec *Exec `json:",omitempty"`
	// Wait gets the end of a container's first process.
	Wait string `json:",omitempty"`
	// Signal sends a signal. Only a connection that is attached need not name a
	// container.
	Signal *Signal `json:",omitempty"`
	// Resize sets the size of the attached process's terminal.
	Resize *WindowSize `json:",omitempty"`
	// Processes lists a container's processes; Shown has the host's list of processes show
	// them as well.
	Processes string `json:",omitempty"`
	Shown     bool   `json:",omitempty"`
	// Update sets the limits of a container.
	Update *Update `json:",omitempty"`
	// OOMKills asks how many processes of a container have been killed for want of memory.
	OOMKills string `json:",omitempty"`
	// Pause and Resume stop the processes of a container that is not the first one, and let
	// them go on.
	Pause  string `json:",omitempty"`
	Resume string `json:",omitempty"`
	// Delete forgets a container, whose processes are killed.
	Delete string `json:",omitempty"`
	// Debug is for who looks into a sandbox.
	Debug *Debug `json:",omitempty"`
}

// Exec is a process to be run in a container. Its descriptors are standard input,
// output and error, and Preserved further ones.
type Exec struct {
	Container string
	Process   *specs.Process
	Nice      int // that of who runs it
	Stdio
}

// Update are all limits of a container as they are to be from now on: linux.resources of its
// configuration and those of its group on the host.
type Update struct {
	Container string
	Resources *specs.LinuxResources
	Limits    cgroup.Limits
}

// A Signal is a signal to the first process of a container, or to all.
type Signal struct {
	Container string `json:",omitempty"`
	Number    int
	All       bool `json:",omitempty"`
}

// Debug changes what a sandbox logs, or asks it for something; fields that are nil or
// false change nothing.
type Debug struct {
	Strace *bool  `json:",omitempty"` // log each system call
	Level  string `json:",omitempty"` // debug, info, warning
	Stacks bool   `json:",omitempty"` // the stacks of all goroutines, as Text
	// ProfileCPU is for how long to make a profile of the CPU time. ProfileHeap asks for one of
	// the memory. For each a file comes with the request, in this order, to be written to.
	ProfileCPU  time.Duration `json:",omitempty"`
	ProfileHeap bool          `json:",omitempty"`
}

// A Reply is a message from a sandbox.
type Reply struct {
	Failed    string    `json:",omitempty"` // what was asked for was not done
	Code      int       `json:",omitempty"` // with Failed: the exit code that runsc ends with
	PID       int       `json:",omitempty"` // of Exec, Start: the process's number inside
	Exited    *Exit     `json:",omitempty"`
	Processes []Process `json:",omitempty"`
	Text      string    `json:",omitempty"`
	OOMKills  int64     `json:",omitempty"`
}

// A Process is a process of a container.
type Process struct {
	PID, PPID, UID int
	TTY            string
	Started        int64 // ns since 1970
	CPU            int64 // ns
	Threads        int
	Command        string
	// Host is the process of the host that runs it, by its number in the sandbox's pid
	// namespace; 0 if there is none, or Shown was not asked for.
	Host int
}

// Exit tells how the container's init process ended.
type Exit struct {
	Code   int // exit code; 0 if it was killed
	Signal int // signal that killed it, or 0
}

// Status is the exit code by which a shell and engines know the end: the code, or
// 128 plus the signal's number.
func (e *Exit) Status() int {
	if e.Signal != 0 {
		return 128 + e.Signal
	}
	return e.Code
}
