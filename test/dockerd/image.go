package dockerd

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"casemate/test/bundle"
)

// ImportBusybox gives the daemon the image "bb": busybox, linked statically, with all its names.
func (d *Daemon) ImportBusybox() error {
	image, err := busybox()
	if err != nil {
		return err
	}
	_, err = d.Docker(bytes.NewReader(image), "import", "-c", "ENV PATH=/bin", "-c", `CMD ["sh"]`, "-", "bb")
	return err
}

// ImportDebian gives the daemon the image "debian": the root file system that the tests of real
// programs have.
func (d *Daemon) ImportDebian() error {
	root, err := bundle.Debian()
	if err != nil {
		return err
	}
	pack := exec.Command("tar", "-C", root, "-c", ".")
	image, err := pack.StdoutPipe()
	if err != nil {
		return err
	}
	if err := pack.Start(); err != nil {
		return err
	}
	_, err = d.Docker(image, "import", "-c", `CMD ["bash"]`, "-", "debian")
	if werr := pack.Wait(); err == nil && werr != nil {
		err = fmt.Errorf("packing %s: %w", root, werr)
	}
	return err
}

// busybox is the image's root file system as a tar archive.
func busybox() ([]byte, error) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return nil, fmt.Errorf("the tests of Docker need busybox-static: %w", err)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	applets, err := exec.Command(path, "--list").Output()
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	add := func(h tar.Header, data string) {
		h.Size = int64(len(data))
		if err == nil {
			err = w.WriteHeader(&h)
		}
		if err == nil {
			_, err = w.Write([]byte(data))
		}
	}
	for _, d := range []string{"bin", "dev", "etc", "home", "proc", "root", "sys", "var", "www"} {
		add(tar.Header{Typeflag: tar.TypeDir, Name: d + "/", Mode: 0o755}, "")
	}
	add(tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}, "")
	add(tar.Header{Name: "etc/passwd", Mode: 0o644}, "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home:/bin/sh\n")
	add(tar.Header{Name: "etc/group", Mode: 0o644}, "root:x:0:\nuser:x:1000:\nmore:x:2000:user\n")
	add(tar.Header{Name: "www/index.html", Mode: 0o644}, "the page\n")
	add(tar.Header{Name: "bin/busybox", Mode: 0o755}, string(program))
	for a := range strings.FieldsSeq(string(applets)) {
		if a != "busybox" {
			add(tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + a, Linkname: "busybox", Mode: 0o777}, "")
		}
	}
	if err == nil {
		err = w.Close()
	}
	return buf.Bytes(), err
}
