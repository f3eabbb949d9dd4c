package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"casemate/test/dockerd"
)

// dockerRounds is how many times more the commands of docker are run, which are short.
const dockerRounds = 4

// compareDocker times docker run and docker exec of true with both runtimes, and prints a line
// for each whose name is wanted.
func (b *bench) compareDocker(wanted *regexp.Regexp) (err error) {
	type command struct {
		name string
		args func(runtime string) []string
	}
	commands := slices.DeleteFunc([]command{
		{"docker_run_true", func(runtime string) []string {
			return []string{"run", "--rm", "--network", "none", "--runtime", runtime, "bb", "true"}
		}},
		{"docker_run_bridge_true", func(runtime string) []string { return []string{"run", "--rm", "--runtime", runtime, "bb", "true"} }},
		{"docker_exec_true", func(runtime string) []string { return []string{"exec", runtime, "true"} }},
	}, func(c command) bool { return !wanted.MatchString(c.name) })
	if len(commands) == 0 {
		return nil
	}
	if _, err := exec.LookPath("dockerd"); err != nil {
		return fmt.Errorf("docker_*: %w", err)
	}
	rt := b.runtimes[1]
	path, err := filepath.Abs(rt.path)
	if err != nil {
		return err
	}
	d, err := dockerd.Start(dockerd.Options{Runsc: path, Runtimes: map[string][]string{rt.name: rt.flags}})
	if err != nil {
		return err
	}
	defer func() {
		if serr := d.Stop(); err == nil {
			err = serr
		}
	}()
	if err := d.ImportBusybox(); err != nil {
		return err
	}
	for _, rt := range b.runtimes {
		if _, err := d.Docker(nil, "run", "-d", "--name", rt.name, "--runtime", rt.name, "bb", "sleep", "100000"); err != nil {
			return err
		}
	}
	for _, c := range commands {
		var figures [2]figures
		for range b.rounds * dockerRounds {
			for i, rt := range b.runtimes {
				began := time.Now()
				if _, err := d.Docker(nil, c.args(rt.name)...); err != nil {
					return err
				}
				figures[i].add(c.name, float64(time.Since(began).Nanoseconds()), "ns")
			}
		}
		for _, line := range table(&figures[0], &figures[1]) {
			fmt.Println(line)
		}
	}
	return nil
}
