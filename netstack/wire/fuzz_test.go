package wire

import "testing"

// FuzzTCPOptions parses options; blocks and values stay within what the input can hold.
func FuzzTCPOptions(f *testing.F) {
	f.Add([]byte{OptMSS, 4, 5, 0xb4, OptNop, OptWindowScale, 3, 7, OptSACKPermitted, 2})
	f.Add([]byte{OptNop, OptNop, OptTimestamps, 10, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte{OptNop, OptNop, OptSACK, 18, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, OptFastOpen, 6, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		b = b[:min(len(b), TCPMaxLen-TCPMinLen)]
		var o TCPOptions
		o.Parse(b)
		if o.WindowScale < -1 || o.WindowScale > MaxWindowScale || o.NSACK < 0 || o.NSACK > len(o.SACK) || 8*o.NSACK > len(b) || len(o.FastOpen) > len(b) {
			t.Errorf("%x: %+v", b, o)
		}
		// What a SYN would carry comes back the same.
		s := SYNOptions{MSS: o.MSS, WindowScale: o.WindowScale, SACKPermitted: o.SACKPermitted, HasTS: o.HasTS, TSVal: o.TSVal, TSEcr: o.TSEcr}
		if o.HasFastOpen && len(o.FastOpen) <= 16 {
			s.FastOpen = o.FastOpen
		}
		var again TCPOptions
		buf := make([]byte, 40)
		again.Parse(buf[:s.Put(buf)])
		if again.MSS != o.MSS || again.WindowScale != o.WindowScale || again.SACKPermitted != o.SACKPermitted || again.HasTS != o.HasTS ||
			o.HasTS && (again.TSVal != o.TSVal || again.TSEcr != o.TSEcr) {
			t.Errorf("%+v became %+v", o, again)
		}
	})
}
