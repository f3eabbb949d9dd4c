package dockerd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"casemate/test/bundle"
)

// ImportBusybox gives the daemon the image "bb": bundle.Busybox, and a page to serve.
func (d *Daemon) ImportBusybox() error {
	dir, err := os.MkdirTemp("", "busybox")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	root := filepath.Join(dir, "rootfs")
	if err := bundle.Busybox(root); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(root, "www"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "www/index.html"), []byte("the page\n"), 0o644); err != nil {
		return err
	}
	return d.importRoot(root, "bb", "ENV PATH=/bin", `CMD ["sh"]`)
}

// ImportDebian gives the daemon the image "debian": the root file system that the tests of real
// programs have.
func (d *Daemon) ImportDebian() error {
	root, err := bundle.Debian()
	if err != nil {
		return err
	}
	return d.importRoot(root, "debian", `CMD ["bash"]`)
}

// importRoot makes an image of a root file system, which changes alter as a Dockerfile's
// instructions do.
func (d *Daemon) importRoot(root, image string, changes ...string) error {
	args := []string{"import"}
	for _, c := range changes {
		args = append(args, "-c", c)
	}
	pack := exec.Command("tar", "-C", root, "-c", ".")
	archive, err := pack.StdoutPipe()
	if err != nil {
		return err
	}
	if err := pack.Start(); err != nil {
		return err
	}
	_, err = d.Docker(archive, append(args, "-", image)...)
	if werr := pack.Wait(); err == nil && werr != nil {
		err = fmt.Errorf("packing %s: %w", root, werr)
	}
	return err
}
