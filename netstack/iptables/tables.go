// Package iptables has the tables of iptables and ip6tables as programs of before nftables
// configure them: a table is replaced as a whole by one blob of entries (setsockopt with
// IPT_SO_SET_REPLACE).
//
// # Locks
//
// Tables.mu is for changes and questions; packets see programs that do not change.
package iptables

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"casemate/netstack/filter"
	"casemate/netstack/xt"
)

var ne = binary.NativeEndian

// Options of SOL_IP and SOL_IPV6.
const (
	SetReplace     = 64 // IPT_SO_SET_REPLACE
	SetAddCounters = 65 // IPT_SO_SET_ADD_COUNTERS
	GetInfo        = 64 // IPT_SO_GET_INFO
	GetEntries     = 65 // IPT_SO_GET_ENTRIES
)

// MaxTable is the largest table, in bytes.
const MaxTable = 64 << 20

// A layout is what differs between the families' structures.
type layout struct {
	family   uint8
	name     string // of the front end
	entry    int    // sizeof(struct ipt_entry)
	addr     int    // length of an address
	proto    int    // offset of the protocol
	flags    int
	inverse  int
	targetAt int // offset of target_offset; next_offset follows
	counters int
	goTo     uint8 // IPT_F_GOTO
	// protoFlag is the flag without which the protocol does not count; 0: it does.
	protoFlag uint8
}

var (
	layout4 = layout{family: unix.AF_INET, name: "iptables", entry: 112, addr: 4, proto: 80, flags: 82, inverse: 83, targetAt: 88, counters: 96, goTo: 2}
	layout6 = layout{family: unix.AF_INET6, name: "ip6tables", entry: 168, addr: 16, proto: 128, flags: 131, inverse: 132, targetAt: 140, counters: 152, goTo: 4, protoFlag: 1}
)

// kinds are the tables that there are.
var kinds = map[string]struct {
	hooks uint32
	// priority of each hook
	priority [unix.NF_INET_NUMHOOKS]int
}{
	"filter":   {1<<unix.NF_INET_LOCAL_IN | 1<<unix.NF_INET_FORWARD | 1<<unix.NF_INET_LOCAL_OUT, [5]int{}},
	"mangle":   {1<<unix.NF_INET_NUMHOOKS - 1, [5]int{filter.PriMangle, filter.PriMangle, filter.PriMangle, filter.PriMangle, filter.PriMangle}},
	"raw":      {1<<unix.NF_INET_PRE_ROUTING | 1<<unix.NF_INET_LOCAL_OUT, [5]int{filter.PriRaw, 0, 0, filter.PriRaw, 0}},
	"security": {1<<unix.NF_INET_LOCAL_IN | 1<<unix.NF_INET_FORWARD | 1<<unix.NF_INET_LOCAL_OUT, [5]int{0, filter.PriSecurity, filter.PriSecurity, filter.PriSecurity, 0}},
	"nat": {1<<unix.NF_INET_PRE_ROUTING | 1<<unix.NF_INET_LOCAL_IN | 1<<unix.NF_INET_LOCAL_OUT | 1<<unix.NF_INET_POST_ROUTING,
		[5]int{filter.PriDestination, filter.PriSource, 0, filter.PriDestination, filter.PriSource}},
}

// Tables are the tables of a family.
type Tables struct {
	layout *layout
	filter *filter.Filter

	mu     sync.Mutex
	tables map[string]*program
}

// New4 makes those of IPv4: there are none until somebody asks for one.
func New4(f *filter.Filter) *Tables { return newTables(f, &layout4) }

// New6 makes those of IPv6.
func New6(f *filter.Filter) *Tables { return newTables(f, &layout6) }

func newTables(f *filter.Filter, l *layout) *Tables {
	return &Tables{layout: l, filter: f, tables: map[string]*program{}}
}

// Names are the names of the tables that somebody has asked for (/proc/net/ip_tables_names).
func (t *Tables) Names() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	for _, name := range []string{"security", "raw", "mangle", "nat", "filter"} {
		if t.tables[name] != nil {
			b.WriteString(name + "\n")
		}
	}
	return b.String()
}

// get finds a table, which is made if there is one of that name. t.mu is held.
func (t *Tables) get(name []byte) (*program, error) {
	b, _, _ := bytes.Cut(name, []byte{0})
	p := t.tables[string(b)]
	if p == nil {
		if _, ok := kinds[string(b)]; !ok {
			return nil, unix.ENOENT
		}
		p = initial(t.layout, string(b))
		t.tables[string(b)] = p
	}
	return p, nil
}

// nameLen is XT_TABLE_MAXNAMELEN; headers begin with a name of that length.
const nameLen = 32

// Info answers IPT_SO_GET_INFO: a struct ipt_getinfo. ENOENT, EINVAL.
func (t *Tables) Info(value []byte) ([]byte, error) {
	if len(value) < nameLen {
		return nil, unix.EINVAL
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p, err := t.get(value[:nameLen])
	if err != nil {
		return nil, err
	}
	b := bytes.Clone(value[:nameLen])
	b = ne.AppendUint32(b, p.hooks)
	for _, l := range [...]*[unix.NF_INET_NUMHOOKS]uint32{&p.entryAt, &p.underflow} {
		for _, v := range l {
			b = ne.AppendUint32(b, v)
		}
	}
	b = ne.AppendUint32(b, uint32(len(p.entries)))
	return ne.AppendUint32(b, uint32(len(p.blob))), nil
}

// entriesHeader is offsetof(struct ipt_get_entries, entrytable).
const entriesHeader = 40

// Entries answers IPT_SO_GET_ENTRIES: a struct ipt_get_entries with the entries, their
// counters up to date. EINVAL, EAGAIN if the size is not the table's.
func (t *Tables) Entries(value []byte, room int) ([]byte, error) {
	if len(value) < entriesHeader {
		return nil, unix.EINVAL
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p, err := t.get(value[:nameLen])
	if err != nil {
		return nil, err
	}
	size := int(ne.Uint32(value[nameLen:]))
	if room != size+entriesHeader {
		return nil, unix.EINVAL
	}
	if size != len(p.blob) {
		return nil, unix.EAGAIN
	}
	b := append(bytes.Clone(value[:entriesHeader]), p.blob...)
	for i := range p.entries {
		at := entriesHeader + p.entries[i].at + t.layout.counters
		ne.PutUint64(b[at:], p.counters[i].Packets.Load())
		ne.PutUint64(b[at+8:], p.counters[i].Bytes.Load())
	}
	return b, nil
}

// Revision answers IPT_SO_GET_REVISION_*: a struct xt_get_revision. ENOENT,
// EPROTONOSUPPORT, EINVAL.
func (t *Tables) Revision(value []byte, target bool) ([]byte, error) {
	const revisionAt = 29
	if len(value) < revisionAt+1 {
		return nil, unix.EINVAL
	}
	name, _, _ := bytes.Cut(value[:revisionAt], []byte{0})
	best, ok := xt.Revision(t.layout.family, string(name), target, value[revisionAt])
	switch {
	case best < 0:
		return nil, unix.ENOENT
	case !ok:
		return nil, unix.EPROTONOSUPPORT
	}
	return ne.AppendUint32(nil, uint32(best)), nil
}

// replaceHeader is sizeof(struct ipt_replace).
const replaceHeader = 96

// Replace carries out IPT_SO_SET_REPLACE. It returns the counters that the table had, as an
// array of struct xt_counters, and the address where the caller wants them. EINVAL, ENOENT,
// ELOOP, EAGAIN if the caller has not the right number of old counters.
func (t *Tables) Replace(value []byte) (counters []byte, at uint64, err error) {
	if len(value) < replaceHeader {
		return nil, 0, unix.EINVAL
	}
	name, _, _ := bytes.Cut(value[:nameLen], []byte{0})
	if _, ok := kinds[string(name)]; !ok {
		return nil, 0, unix.ENOENT
	}
	size := int(ne.Uint32(value[40:]))
	if size > MaxTable || replaceHeader+size > len(value) {
		return nil, 0, unix.EINVAL
	}
	p := &program{layout: t.layout, name: string(name), hooks: ne.Uint32(value[32:]), blob: value[replaceHeader : replaceHeader+size]}
	for i := range p.entryAt {
		p.entryAt[i], p.underflow[i] = ne.Uint32(value[44+4*i:]), ne.Uint32(value[64+4*i:])
	}
	if err := p.compile(int(ne.Uint32(value[36:]))); err != nil {
		return nil, 0, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	old, err := t.get(name)
	if err != nil {
		return nil, 0, err
	}
	if int(ne.Uint32(value[84:])) != len(old.entries) {
		return nil, 0, unix.EAGAIN
	}
	t.tables[p.name] = p
	t.install()
	for i := range old.counters {
		counters = ne.AppendUint64(counters, old.counters[i].Packets.Load())
		counters = ne.AppendUint64(counters, old.counters[i].Bytes.Load())
	}
	return counters, ne.Uint64(value[88:]), nil
}

// AddCounters carries out IPT_SO_SET_ADD_COUNTERS: a struct xt_counters_info. EINVAL.
func (t *Tables) AddCounters(value []byte) error {
	if len(value) < entriesHeader {
		return unix.EINVAL
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p, err := t.get(value[:nameLen])
	if err != nil {
		return err
	}
	n := int(ne.Uint32(value[nameLen:]))
	if n != len(p.entries) || len(value) < entriesHeader+16*n {
		return unix.EINVAL
	}
	for i := range p.counters {
		p.counters[i].Packets.Add(ne.Uint64(value[entriesHeader+16*i:]))
		p.counters[i].Bytes.Add(ne.Uint64(value[entriesHeader+16*i+8:]))
	}
	return nil
}

// install gives the filter what the tables say. t.mu is held.
func (t *Tables) install() {
	var bases []filter.Base
	track := false
	for name, p := range t.tables {
		if p.trivial() {
			continue
		}
		track = track || p.tracks
		for hook, priority := range kinds[name].priority {
			if p.hooks&(1<<hook) == 0 {
				continue
			}
			bases = append(bases, filter.Base{Family: t.layout.family, Hook: hook, Priority: priority, NAT: name == "nat",
				Run: func(c *filter.Context) filter.Verdict { return p.run(c) }})
		}
	}
	// Of the tables that have the same priority, the order is that of their hooks' making.
	slices.SortStableFunc(bases, func(a, b filter.Base) int { return a.Priority - b.Priority })
	t.filter.Install(t.layout.name, bases, track)
}
