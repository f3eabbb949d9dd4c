package boot

import (
	"fmt"
	"os"

	"casemate/netstack/capture"
	"casemate/runsc/control"
	"casemate/sentry/socket/families"
)

// watchPackets has the packets of the sandbox's network go to the file of --pcap and to the
// debug log, as the flags say.
func (s *sandbox) watchPackets() error {
	stack := families.Of(s.kernel, s.kernel.RootNamespaces().Net).IP
	file := os.NewFile(control.FDCapture, "the file of --pcap")
	if s.Config.PCAP == "" {
		file.Close()
	} else {
		f, err := capture.NewFile(file)
		if err != nil {
			return fmt.Errorf("writing the file of --pcap: %w", err)
		}
		stack.AddTap(f)
	}
	if s.Config.LogPackets {
		stack.AddTap(&capture.Printer{Print: func(line string) { s.log.Info(line) }})
	}
	return nil
}
