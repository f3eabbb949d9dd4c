package virtio

import (
	"testing"

	"casemate/netstack/pkt"
)

// FuzzHeader reads a header that the other side has made up; what is accepted lies within
// the packet.
func FuzzHeader(f *testing.F) {
	f.Add([]byte{needsCsum, gsoTCPv4, 54, 0, 0xb4, 5, 34, 0, 16, 0}, uint16(100), true)
	f.Add([]byte{dataValid, 0, 0, 0, 0, 0, 0, 0, 0, 0}, uint16(60), false)
	f.Fuzz(func(t *testing.T, b []byte, n uint16, ethernet bool) {
		if len(b) < HeaderLen {
			return
		}
		p := pkt.New()
		defer p.Free()
		p.AddBytes(make([]byte, n))
		l := 0
		if ethernet {
			l = 14
		}
		if !get(b, p, l) {
			return
		}
		if p.Csum == pkt.CsumPartial && l+int(p.CsumStart)+int(p.CsumOffset)+2 > p.Len() {
			t.Errorf("checksum at %d+%d of %d", p.CsumStart, p.CsumOffset, p.Len())
		}
	})
}
