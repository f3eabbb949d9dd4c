package netdev

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Sets of strings of ETHTOOL_GSTRINGS that there are.
const (
	setStatistics = 1 // ETH_SS_STATS
	setFeatures   = 4 // ETH_SS_FEATURES
	stringLen     = 32
)

// features is ETHTOOL_GFEATURES. None can be changed.
func (q *query) features() error {
	size, err := q.word(4)
	if err != nil {
		return err
	}
	block := []uint32{1, 0, 0, Features(q.i), 0} // one block: available, requested, active, never changed
	if size == 0 {
		block = block[:1]
	}
	return q.answer(block...)
}

// statisticNames are what ETHTOOL_GSTATS tells: of a veth whose other end is known its index there.
// There are no programs of XDP that could be counted.
func (q *query) statisticNames() []string {
	if Peer(q.i) == nil {
		return nil
	}
	return []string{"peer_ifindex"}
}

// statistics is ETHTOOL_GSTATS. EOPNOTSUPP if there are none.
func (q *query) statistics() error {
	o := Peer(q.i)
	if o == nil {
		return unix.EOPNOTSUPP
	}
	if fits, err := q.expects(4, 1); !fits {
		return err
	}
	return q.answer(1, uint32(o.Index()), 0)
}

// expects reports whether n is the number that the caller has at an offset; 0 is any. If not, it is
// answered that there are none.
func (q *query) expects(off uint64, n int) (bool, error) {
	want, err := q.word(off)
	if err != nil || want == 0 || int(want) == n {
		return err == nil, err
	}
	_, err = q.ctx.Mem.CopyOut(q.at+off, make([]byte, 4))
	return false, err
}

// stringSet is a set of strings; nil if there is none.
func (q *query) stringSet(set uint32) []string {
	switch set {
	case setStatistics:
		return q.statisticNames()
	case setFeatures:
		return FeatureNames()
	}
	return nil
}

// strings is ETHTOOL_GSTRINGS. EOPNOTSUPP.
func (q *query) strings() error {
	set, err := q.word(4)
	if err != nil {
		return err
	}
	l := q.stringSet(set)
	if l == nil {
		return unix.EOPNOTSUPP
	}
	if fits, err := q.expects(8, len(l)); !fits {
		return err
	}
	b := binary.NativeEndian.AppendUint32(nil, q.cmd)
	b = binary.NativeEndian.AppendUint32(b, set)
	b = binary.NativeEndian.AppendUint32(b, uint32(len(l)))
	for _, s := range l {
		b = append(b, make([]byte, stringLen)...)
		copy(b[len(b)-stringLen:], s)
	}
	return q.put(b)
}

// stringSets is ETHTOOL_GSSET_INFO: how many strings each of the sets has that are asked for.
func (q *query) stringSets() error {
	asked, err := q.word(8)
	if err != nil {
		return err
	}
	v := []uint32{0, 0, 0} // reserved; a mask of 64 bits
	for set := range uint32(32) {
		if l := q.stringSet(set); l != nil && asked>>set&1 != 0 {
			v[1] |= 1 << set
			v = append(v, uint32(len(l)))
		}
	}
	return q.answer(v...)
}
