package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/google/subcommands"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"casemate/runsc/container"
)

type updateCommand struct {
	file   string
	limits map[string]*string
}

func (*updateCommand) Name() string     { return "update" }
func (*updateCommand) Synopsis() string { return "change the limits of a container" }
func (*updateCommand) Usage() string {
	return `update [--resources FILE | LIMITS] CONTAINER-ID

Change the limits of a container's cgroup; those that are not named stay as they are.

`
}

// updateFlags are the limits that have a flag of their own; sizes are in bytes, times in
// microseconds.
var updateFlags = map[string]struct {
	usage string
	set   func(r *specs.LinuxResources, v string) error
}{
	"blkio-weight":       {"block IO `weight`, 10 to 1000", func(r *specs.LinuxResources, v string) error { return number(v, &block(r).Weight) }},
	"cpu-period":         {"length of the CPU quota's period", func(r *specs.LinuxResources, v string) error { return number(v, &cpu(r).Period) }},
	"cpu-quota":          {"CPU time in each period", func(r *specs.LinuxResources, v string) error { return number(v, &cpu(r).Quota) }},
	"cpu-share":          {"CPU shares, relative to other containers", func(r *specs.LinuxResources, v string) error { return number(v, &cpu(r).Shares) }},
	"cpu-rt-period":      {"period of real-time CPU time", func(r *specs.LinuxResources, v string) error { return number(v, &cpu(r).RealtimePeriod) }},
	"cpu-rt-runtime":     {"real-time CPU time in each period", func(r *specs.LinuxResources, v string) error { return number(v, &cpu(r).RealtimeRuntime) }},
	"cpuset-cpus":        {"CPUs to use, as a list", func(r *specs.LinuxResources, v string) error { cpu(r).Cpus = v; return nil }},
	"cpuset-mems":        {"memory nodes to use, as a list", func(r *specs.LinuxResources, v string) error { cpu(r).Mems = v; return nil }},
	"kernel-memory":      {"accepted for compatibility: Linux has no such limit any more", func(*specs.LinuxResources, string) error { return nil }},
	"kernel-memory-tcp":  {"memory of TCP buffers on the host", func(r *specs.LinuxResources, v string) error { return number(v, &memory(r).KernelTCP) }},
	"memory":             {"memory", func(r *specs.LinuxResources, v string) error { return number(v, &memory(r).Limit) }},
	"memory-reservation": {"memory that is kept under pressure", func(r *specs.LinuxResources, v string) error { return number(v, &memory(r).Reservation) }},
	"memory-swap":        {"memory and swap together; -1 is no limit", func(r *specs.LinuxResources, v string) error { return number(v, &memory(r).Swap) }},
	"pids-limit": {"number of processes", func(r *specs.LinuxResources, v string) error {
		r.Pids = new(specs.LinuxPids)
		return number(v, &r.Pids.Limit)
	}},
}

func cpu(r *specs.LinuxResources) *specs.LinuxCPU {
	if r.CPU == nil {
		r.CPU = new(specs.LinuxCPU)
	}
	return r.CPU
}

func memory(r *specs.LinuxResources) *specs.LinuxMemory {
	if r.Memory == nil {
		r.Memory = new(specs.LinuxMemory)
	}
	return r.Memory
}

func block(r *specs.LinuxResources) *specs.LinuxBlockIO {
	if r.BlockIO == nil {
		r.BlockIO = new(specs.LinuxBlockIO)
	}
	return r.BlockIO
}

// number parses a flag's value.
func number[T uint16 | uint64 | int64](v string, to **T) error {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || int64(T(n)) != n {
		return fmt.Errorf("invalid value %q", v)
	}
	value := T(n)
	*to = &value
	return nil
}

func (c *updateCommand) SetFlags(f *flag.FlagSet) {
	f.StringVar(&c.file, "resources", "", "`file` with the limits as JSON, in the form of config.json's linux.resources; - is standard input")
	f.StringVar(&c.file, "r", "", "short for --resources")
	c.limits = map[string]*string{}
	for name, l := range updateFlags {
		c.limits[name] = f.String(name, "", l.usage)
	}
}

func (c *updateCommand) Execute(_ context.Context, f *flag.FlagSet, args ...any) subcommands.ExitStatus {
	a := theApp(args)
	r, err := c.resources()
	if err != nil {
		return a.fail(err)
	}
	return a.locked(f, func(ctr *container.Container) error { return ctr.Update(r) })
}

func (c *updateCommand) resources() (*specs.LinuxResources, error) {
	r := new(specs.LinuxResources)
	if c.file != "" {
		in := os.Stdin
		if c.file != "-" {
			var err error
			if in, err = os.Open(c.file); err != nil {
				return nil, err
			}
			defer in.Close()
		}
		data, err := io.ReadAll(in)
		if err != nil {
			return nil, err
		}
		return r, json.Unmarshal(data, r)
	}
	for name, value := range c.limits {
		if *value == "" {
			continue
		}
		if err := updateFlags[name].set(r, *value); err != nil {
			return nil, fmt.Errorf("--%s: %w", name, err)
		}
	}
	return r, nil
}
