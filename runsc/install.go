package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/subcommands"
)

// dockerConfig are the flags that install and uninstall have in common.
type dockerConfig struct {
	file    string
	runtime string
	dryRun  bool
}

func (c *dockerConfig) SetFlags(f *flag.FlagSet) {
	f.StringVar(&c.file, "config_file", "/etc/docker/daemon.json", "Docker's configuration `file`")
	f.StringVar(&c.runtime, "runtime", "runsc", "`name` of the runtime")
	f.BoolVar(&c.dryRun, "dry-run", false, "show the new configuration instead of writing it")
}

type installCommand struct {
	dockerConfig
	clobber bool
}

func (*installCommand) Name() string     { return "install" }
func (*installCommand) Synopsis() string { return "tell Docker of this runtime" }
func (*installCommand) Usage() string {
	return `install [flags] [-- FLAG ...]

Add this program, with global flags for it after --, to the runtimes in Docker's
configuration. All else there stays as it is; a copy of the old file is kept beside it.
Docker has to read it again: systemctl reload docker.

`
}

func (c *installCommand) SetFlags(f *flag.FlagSet) {
	c.dockerConfig.SetFlags(f)
	f.BoolVar(&c.clobber, "clobber", true, "replace a runtime of that name that is there already")
}

func (c *installCommand) Execute(_ context.Context, f *flag.FlagSet, args ...any) subcommands.ExitStatus {
	a := theApp(args)
	path, err := os.Executable()
	if err != nil {
		return a.fail(err)
	}
	entry := map[string]any{"path": path}
	if f.NArg() > 0 {
		entry["runtimeArgs"] = f.Args()
	}
	err = c.change(func(runtimes map[string]any) error {
		if _, there := runtimes[c.runtime]; there && !c.clobber {
			return fmt.Errorf("there is a runtime %q in %s already", c.runtime, c.file)
		}
		runtimes[c.runtime] = entry
		return nil
	})
	if err != nil {
		return a.fail(err)
	}
	return subcommands.ExitSuccess
}

type uninstallCommand struct{ dockerConfig }

func (*uninstallCommand) Name() string     { return "uninstall" }
func (*uninstallCommand) Synopsis() string { return "take this runtime out of Docker's configuration" }
func (*uninstallCommand) Usage() string {
	return "uninstall [flags]\n\nTake what install has added out of Docker's configuration.\n\n"
}

func (c *uninstallCommand) Execute(_ context.Context, _ *flag.FlagSet, args ...any) subcommands.ExitStatus {
	a := theApp(args)
	err := c.change(func(runtimes map[string]any) error {
		if _, there := runtimes[c.runtime]; !there {
			return fmt.Errorf("there is no runtime %q in %s", c.runtime, c.file)
		}
		delete(runtimes, c.runtime)
		return nil
	})
	if err != nil {
		return a.fail(err)
	}
	return subcommands.ExitSuccess
}

// change edits the runtimes in the configuration.
func (c *dockerConfig) change(edit func(runtimes map[string]any) error) error {
	old, err := os.ReadFile(c.file)
	missing := errors.Is(err, os.ErrNotExist)
	if err != nil && !missing {
		return err
	}
	config := map[string]any{}
	if len(bytes.TrimSpace(old)) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(old))
		decoder.UseNumber() // a number is written as it was
		if err := decoder.Decode(&config); err != nil {
			return fmt.Errorf("%s is not valid JSON: %w", c.file, err)
		}
	}
	runtimes := map[string]any{}
	if there, ok := config["runtimes"]; ok {
		if runtimes, ok = there.(map[string]any); !ok {
			return fmt.Errorf("%s: \"runtimes\" is not an object", c.file)
		}
	}
	if err := edit(runtimes); err != nil {
		return err
	}
	config["runtimes"] = runtimes
	if len(runtimes) == 0 {
		delete(config, "runtimes")
	}
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "    ")
	if err := encoder.Encode(config); err != nil {
		return err
	}
	if c.dryRun {
		_, err := os.Stdout.Write(buf.Bytes())
		return err
	}
	if missing {
		if err := os.MkdirAll(filepath.Dir(c.file), 0o755); err != nil {
			return err
		}
		return replace(c.file, buf.Bytes(), 0o644)
	}
	info, err := os.Stat(c.file)
	if err != nil {
		return err
	}
	if err := replace(c.file+"~", old, info.Mode().Perm()); err != nil {
		return fmt.Errorf("keeping a copy: %w", err)
	}
	return replace(c.file, buf.Bytes(), info.Mode().Perm())
}

// replace writes a file such that there is the old or the new one at any time.
func replace(path string, data []byte, mode os.FileMode) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, data, mode); err != nil {
		return err
	}
	if err := os.Chmod(tmp, mode); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
