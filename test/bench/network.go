package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"casemate/test/bundle"
)

// The two ends of the pair: the box's is the container's.
const (
	peerAddress = "10.9.0.1"
	boxAddress  = "10.9.0.2"
)

// compareNetwork asks servers in containers from the other end of a veth pair, and prints a
// line for each figure.
func (b *bench) compareNetwork() error {
	var figures [2]figures
	for range b.rounds {
		for i, rt := range b.runtimes {
			out, err := rt.serve(b.dir)
			if err == nil {
				err = figures[i].parse("veth", out)
			}
			if err != nil {
				return fmt.Errorf("under %s: %w", rt.name, err)
			}
		}
	}
	for _, line := range table(&figures[0], &figures[1]) {
		fmt.Println(line)
	}
	return nil
}

// newPair makes two network namespaces that a veth pair joins.
func newPair(name string) (peer, box string, remove func(), err error) {
	peer, box = "peer-"+name, "box-"+name
	remove = func() {
		exec.Command("ip", "netns", "del", peer).Run()
		exec.Command("ip", "netns", "del", box).Run()
	}
	for _, args := range []string{
		"netns add " + peer, "netns add " + box,
		"-n " + peer + " link add veth0 type veth peer name eth0 netns " + box,
		"-n " + peer + " addr add " + peerAddress + "/24 dev veth0", "-n " + peer + " link set veth0 up",
		"-n " + box + " addr add " + boxAddress + "/24 dev eth0", "-n " + box + " link set eth0 up", "-n " + box + " link set lo up",
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			remove()
			return "", "", nil, fmt.Errorf("ip %s: %w: %s", args, err, out)
		}
	}
	return peer, box, remove, nil
}

// iperf3 are the host's program and the libraries of it that the root file system lacks.
func iperf3(lower string) (mounts []bundle.Object, err error) {
	program, err := exec.LookPath("iperf3")
	if err != nil {
		return nil, err
	}
	out, err := exec.Command("ldd", program).Output()
	if err != nil {
		return nil, fmt.Errorf("ldd %s: %w", program, err)
	}
	files := []string{program}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == "=>" {
			if _, err := os.Stat(filepath.Join(lower, f[2])); err != nil {
				files = append(files, f[2])
			}
		}
	}
	for _, f := range files {
		mounts = append(mounts, bundle.Mount(f, "bind", f, "bind", "ro"))
	}
	return mounts, nil
}

// serve runs the servers in a container, and returns what the clients print.
func (rt runtime) serve(base string) (figures string, err error) {
	lower, err := bundle.Debian()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(base, "bundle")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	peer, box, remove, err := newPair(filepath.Base(dir))
	if err != nil {
		return "", err
	}
	defer remove()
	undo, err := bundle.MountRoot(dir, lower)
	if err != nil {
		return "", err
	}
	defer undo()
	mounts, err := iperf3(lower)
	if err != nil {
		return "", err
	}
	mounts = append(mounts, bundle.Mount("/bench", "bind", filepath.Join(base, "bench"), "rbind", "ro"))
	spec := bundle.Spec([]string{"/bench/network/servers.sh"}, mounts...)
	for _, ns := range spec["linux"].(bundle.Object)["namespaces"].([]bundle.Object) {
		if ns["type"] == "network" {
			ns["path"] = "/run/netns/" + box
		}
	}
	if err := bundle.Write(dir, spec); err != nil {
		return "", err
	}
	state := []string{"--root", filepath.Join(dir, "state")}
	id := filepath.Base(dir)
	defer exec.Command(rt.path, append(state, "delete", "--force", id)...).Run()
	servers := exec.Command(rt.path, append(append(state, rt.flags...), "run", "--bundle", dir, id)...)
	var stderr strings.Builder
	servers.Stderr = &stderr
	stdin, err := servers.StdinPipe()
	if err != nil {
		return "", err
	}
	stdout, err := servers.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := servers.Start(); err != nil {
		return "", err
	}
	defer servers.Wait()
	defer stdin.Close()
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		return "", fmt.Errorf("the servers have not started: %v: %s", err, lastLine(stderr.String()))
	}
	clients := exec.Command("timeout", fmt.Sprint(int(limit.Seconds())), "ip", "netns", "exec", peer,
		filepath.Join(base, "bench/network/clients.sh"), boxAddress, lower)
	var complaint strings.Builder
	clients.Stderr = &complaint
	out, err := clients.Output()
	if err != nil {
		return "", fmt.Errorf("the clients: %w: %s", err, lastLine(complaint.String()))
	}
	return string(out), nil
}
