package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"casemate/runsc/bundle"
	"casemate/runsc/cgroup"
	"casemate/runsc/control"
	"casemate/runsc/sandbox"
)

// Options say what container to create.
type Options struct {
	ID       string
	Bundle   string // directory
	Spec     *specs.Spec
	HostRoot bool // the root is the host's own file system
	Terminal Terminal
	// PreserveFDs is how many descriptors of this process, from 3 on, the container's
	// process gets.
	PreserveFDs int
	// Foreground has the container die with this process, which deletes it at its end
	// unless Keep is set.
	Foreground, Keep bool
	PIDFile          string
}

// Create makes a container up to its first process, which Start runs. The result is locked.
// If it fails nothing is left.
func (e *Env) Create(o *Options) (*Container, error) {
	c, err := e.make(o.ID)
	if err != nil {
		return nil, err
	}
	if err := c.create(o); err != nil {
		c.discard()
		return nil, err
	}
	return c, nil
}

func (c *Container) create(o *Options) error {
	e := c.env
	for _, warning := range bundle.Ignore(o.Spec) {
		e.Warn(warning)
	}
	dir, err := filepath.Abs(o.Bundle)
	if err != nil {
		return err
	}
	c.State = State{
		ID: o.ID, Bundle: dir, Rootfs: o.Spec.Root.Path, Created: time.Now().UTC(), Phase: Creating,
		Annotations: o.Spec.Annotations, Sandbox: o.ID, Owner: os.Geteuid(),
	}
	if o.Foreground && !o.Keep {
		if c.State.Keeper, err = Find(os.Getpid()); err != nil {
			return err
		}
	}
	if err := c.saveSpec(o.Spec); err != nil {
		return err
	}
	args := &sandbox.Args{
		Dir: c.dir, Rootless: e.Conf.Rootless, Foreground: o.Foreground,
		Boot: control.Boot{
			Version: e.Version, Config: *e.Conf, HostRoot: o.HostRoot, Container: control.Container{ID: o.ID, Bundle: dir, Spec: o.Spec, Nice: nice()},
		},
	}
	place, err := e.placeOf(o.Spec)
	if err == nil {
		err = place.checkPIDs(o.Spec)
	}
	if err != nil {
		return err
	}
	defer closeStores(args)
	if err := o.addTrees(e, args); err != nil {
		return err
	}
	group, err := c.makeGroup(o.Spec)
	if err != nil {
		return err
	}
	args.Cgroup = group
	var paths cgroup.Paths
	if c.State.Cgroup != nil {
		paths = c.State.Cgroup.Paths
	}
	if args.Boot.Hierarchies, err = cgroup.View(paths, lists(o.Spec, specs.CgroupNamespace)); err != nil {
		return err
	}
	if args.Files, err = o.Terminal.files(o.Spec.Process.Terminal, o.PreserveFDs, &args.Boot.Stdio); err != nil {
		return err
	}
	if o.Terminal.ConsoleSocket != "" {
		defer args.Files[0].Close()
		args.Console = true
	}
	if place.sandbox != "" {
		err = c.join(place, args)
	} else {
		err = c.begin(args)
	}
	if err != nil {
		return err
	}
	c.State.Phase = Created
	if err := c.save(); err != nil {
		return err
	}
	if o.PIDFile != "" {
		if err := writePID(o.PIDFile, c.State.Init.PID); err != nil {
			return err
		}
	}
	return nil
}

// begin starts a sandbox for the container.
func (c *Container) begin(args *sandbox.Args) error {
	log, err := c.env.Conf.OpenDebugLog("boot", c.State.ID, time.Now().Format("20060102-150405.000000"))
	if err != nil {
		return err
	}
	if log != nil {
		defer log.Close()
		args.DebugLog = log
	}
	if args.Capture, err = c.env.Conf.OpenPCAP(c.State.ID); err != nil {
		return err
	}
	if args.Capture != nil {
		defer args.Capture.Close()
	}
	if args.Exit, err = c.openExit(); err != nil {
		return err
	}
	defer args.Exit.Close()
	if c.State.Network, err = networkOf(c.env.Conf, args.Boot.Spec); err != nil {
		return err
	}
	args.Boot.Config.Network = string(c.State.Network)
	if c.State.Network == hostNetwork {
		path, isNew := networkNamespace(args.Boot.Spec)
		args.HostNet, args.NetNS = !isNew, path
	}
	s, err := sandbox.Start(args)
	if err != nil {
		return err
	}
	c.sandbox = s
	sentry, gofer := s.PID()
	if c.State.Sentry, err = Find(sentry); err != nil {
		return s.Death(err)
	}
	c.State.Init = c.State.Sentry
	if c.State.Gofer, err = Find(gofer); err != nil {
		return s.Death(err)
	}
	c.findNetwork(args.Boot.Spec)
	if err := c.save(); err != nil {
		return err
	}
	if err := c.createHooks(args.Boot.Spec); err != nil {
		return err
	}
	if err := s.Configure(args); err != nil {
		return startError(err)
	}
	return nil
}

// createHooks runs the hooks that belong to create.
func (c *Container) createHooks(spec *specs.Spec) error {
	h := spec.Hooks
	if h == nil {
		return nil
	}
	for _, kind := range []struct {
		name  string
		hooks []specs.Hook
	}{
		//lint:ignore SA1019 engines use it
		{"prestart", h.Prestart},
		{"createRuntime", h.CreateRuntime},
		{"createContainer", h.CreateContainer},
	} {
		if err := c.runHooks(kind.name, kind.hooks, StatusCreating); err != nil {
			return err
		}
	}
	return nil
}

// discard undoes as much of Create as there is.
func (c *Container) discard() {
	if c.sandbox != nil {
		c.sandbox.Destroy()
	}
	if err := c.destroy(); err != nil {
		c.env.Log.Warn("a container that could not be created is not wholly removed", "id", c.State.ID, "error", err)
	}
	c.Unlock()
}

// specFile is where the configuration is kept: the bundle's may change.
func (c *Container) specFile() string { return filepath.Join(c.dir, "config.json") }

func (c *Container) saveSpec(spec *specs.Spec) error {
	data, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	if err := replace(c.specFile(), data); err != nil {
		return fmt.Errorf("writing the container's configuration: %w", err)
	}
	return nil
}

// Spec reads the configuration with which the container was made.
func (c *Container) Spec() (*specs.Spec, error) {
	data, err := os.ReadFile(c.specFile())
	if err != nil {
		return nil, fmt.Errorf("reading the container's configuration: %w", err)
	}
	spec := new(specs.Spec)
	if err := json.Unmarshal(data, spec); err != nil {
		return nil, fmt.Errorf("reading the container's configuration: %w", err)
	}
	return spec, nil
}

// writePID writes a pid file, atomically: who waits for it may read it at any time.
func writePID(path string, pid int) error {
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	err := os.WriteFile(tmp, fmt.Append(nil, pid), 0o644)
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return fmt.Errorf("writing the pid file: %w", err)
	}
	return nil
}

// group returns the container's cgroup, nil if it has none.
func (c *Container) group() (*cgroup.Group, error) {
	if c.State.Cgroup == nil {
		return nil, nil
	}
	return cgroup.Load(c.State.Cgroup)
}

// errNoSandbox says that a container of a pod has come before the pod's first.
var errNoSandbox = errors.New("the sandbox that the container's annotations name does not run")

// startFailed is how runc begins the messages of a process that could not be run; engines
// look at them.
const startFailed = "unable to start container process: "

// startError words what the sandbox says when it cannot make a process.
func startError(err error) error {
	if refused := (*sandbox.Error)(nil); errors.As(err, &refused) {
		return &sandbox.Error{Text: startFailed + refused.Text, Code: refused.Code}
	}
	return err
}
