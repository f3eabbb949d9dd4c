package ip

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"casemate/netstack/wheel"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// reporter tells the routers of a link to which multicast groups the interface belongs:
// IGMPv3 (RFC 3376), or IGMPv2 and 1 after a querier that knows no better (RFC 2236), and
// for IPv6 MLDv2 (RFC 3810) or MLDv1 (RFC 2710). Sources are not told apart.
//
// Its lock is a leaf but for the wheel's and those of what sends.
type reporter struct {
	i  *Interface
	v6 bool

	mu      sync.Mutex
	groups  map[netip.Addr]*membership
	changes map[netip.Addr]*change // not yet reported as often as they are to be
	oldest  [3]time.Duration       // until when a querier of version 1 or 2 counts as present
	change  wheel.Timer
	general wheel.Timer // an answer to a general query
}

// membership is one group.
type membership struct {
	r        *reporter
	addr     netip.Addr
	timer    wheel.Timer // the answer to a query, or the next unsolicited report of version 1 or 2
	repeat   int         // unsolicited reports to come, of version 1 or 2
	reported bool        // we were the last to report it
}

// change is a change of state that is reported several times, lest one be lost.
type change struct {
	typ  uint8
	left int
}

// Times of RFC 3376 section 8, RFC 2236 section 8 and RFC 3810 section 9.
const (
	groupRobustness  = 2
	reportInterval3  = time.Second      // between unsolicited reports of IGMPv3 and MLDv2
	reportInterval12 = 10 * time.Second // and of older versions
	oldQuerierTime   = 2*125*time.Second + 10*time.Second
)

func (r *reporter) init(i *Interface, v6 bool) {
	r.i, r.v6 = i, v6
	r.groups, r.changes = make(map[netip.Addr]*membership), make(map[netip.Addr]*change)
	r.change.Init(i.stack.Wheel, r.reportChanges)
	r.general.Init(i.stack.Wheel, r.reportAll)
}

// reporter is the one for a group's family.
func (i *Interface) reporter(group netip.Addr) *reporter {
	if group.Is6() {
		return &i.mld
	}
	return &i.igmp
}

// told reports whether membership of a group is told of: not that of the group of all
// hosts, nor groups that do not leave the host.
func (r *reporter) told(group netip.Addr) bool {
	return group != allHosts4 && group != netip.IPv6LinkLocalAllNodes() && !group.IsInterfaceLocalMulticast()
}

// active reports whether there is somebody to tell.
func (r *reporter) active() bool {
	return r.i.up() && !r.i.loopback() && r.i.flags.Load()&unix.IFF_MULTICAST != 0 && !(r.v6 && r.i.noIP6.Load())
}

// version is the version to be spoken. mu is held.
func (r *reporter) version(now time.Duration) int {
	newest, forced := 3, r.i.conf4.ForceIGMP.Get()
	if r.v6 {
		newest, forced = 2, r.i.conf6.ForceMLD.Get()
	}
	if forced != 0 {
		return forced
	}
	for v := 1; v < newest; v++ {
		if r.oldest[v] > now {
			return v
		}
	}
	return newest
}

// within is a random time not longer than d.
func within(d time.Duration) time.Duration { return time.Duration(rand.Int64N(int64(d) + 1)) }

// join tells of a new membership.
func (r *reporter) join(group netip.Addr) {
	if !r.told(group) {
		return
	}
	now := r.i.stack.Wheel.Now()
	r.mu.Lock()
	m := r.groups[group]
	if m == nil {
		m = &membership{r: r, addr: group}
		m.timer.Init(r.i.stack.Wheel, m.report)
		r.groups[group] = m
	}
	if !r.active() {
		r.mu.Unlock()
		return
	}
	if r.newest(now) {
		r.changed(group, wire.ChangeToExclude, now)
		r.mu.Unlock()
		return
	}
	m.repeat = groupRobustness - 1
	r.mu.Unlock()
	m.report()
}

// newest reports whether the newest version is spoken. mu is held.
func (r *reporter) newest(now time.Duration) bool {
	return r.version(now) == 3 || r.v6 && r.version(now) == 2
}

// changed notes a change to be reported at once. mu is held.
func (r *reporter) changed(group netip.Addr, typ uint8, now time.Duration) {
	r.changes[group] = &change{typ, groupRobustness}
	r.change.Reset(now)
}

// leave tells of the end of a membership.
func (r *reporter) leave(group netip.Addr) {
	now := r.i.stack.Wheel.Now()
	r.mu.Lock()
	m := r.groups[group]
	if m == nil {
		r.mu.Unlock()
		return
	}
	delete(r.groups, group)
	m.timer.Stop()
	switch {
	case !r.active():
		r.mu.Unlock()
	case r.newest(now):
		r.changed(group, wire.ChangeToInclude, now)
		r.mu.Unlock()
	default:
		v1 := r.version(now) == 1 && !r.v6
		r.mu.Unlock()
		if m.reported && !v1 {
			r.sendLeave(group)
		}
	}
}

// restart tells of all memberships when the interface comes up; stop is for when it goes
// down.
func (r *reporter) restart() {
	r.mu.Lock()
	groups := make([]netip.Addr, 0, len(r.groups))
	for g := range r.groups {
		groups = append(groups, g)
	}
	r.mu.Unlock()
	for _, g := range groups {
		r.join(g)
	}
}

func (r *reporter) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.change.Stop()
	r.general.Stop()
	for _, m := range r.groups {
		m.timer.Stop()
	}
	clear(r.changes)
}

// reportChanges sends the changes that are to be told of, and does so again later.
func (r *reporter) reportChanges() {
	var records []wire.GroupRecord
	r.mu.Lock()
	for g, c := range r.changes {
		records = append(records, wire.GroupRecord{Type: c.typ, Group: g})
		if c.left--; c.left == 0 {
			delete(r.changes, g)
		}
	}
	if len(r.changes) > 0 {
		r.change.Reset(r.i.stack.Wheel.Now() + reportInterval3/10 + within(reportInterval3*9/10))
	}
	r.mu.Unlock()
	r.sendRecords(records)
	r.i.stack.Run()
}

// reportAll answers a general query.
func (r *reporter) reportAll() {
	var records []wire.GroupRecord
	r.mu.Lock()
	for g := range r.groups {
		records = append(records, wire.GroupRecord{Type: wire.ModeIsExclude, Group: g})
	}
	r.mu.Unlock()
	r.sendRecords(records)
	r.i.stack.Run()
}

// report is the timer of a group: an answer to a query for it, or an unsolicited report of
// an old version.
func (m *membership) report() {
	r := m.r
	now := r.i.stack.Wheel.Now()
	r.mu.Lock()
	if r.groups[m.addr] != m {
		r.mu.Unlock()
		return
	}
	if m.repeat > 0 {
		m.repeat--
		m.timer.Reset(now + within(reportInterval12))
	}
	m.reported = true
	newest, v := r.newest(now), r.version(now)
	r.mu.Unlock()
	if newest {
		r.sendRecords([]wire.GroupRecord{{Type: wire.ModeIsExclude, Group: m.addr}})
	} else {
		r.sendReport(m.addr, v)
	}
	r.i.stack.Run()
}

// query takes a query of a version for a group, or for all if it is unspecified, to be
// answered within max.
func (r *reporter) query(version int, group netip.Addr, max time.Duration) {
	now := r.i.stack.Wheel.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.active() {
		return
	}
	if version < 3 && !(r.v6 && version == 2) {
		r.oldest[version] = now + oldQuerierTime
		// What was to be reported in the newer version's form is told by the answer.
		r.change.Stop()
		r.general.Stop()
		clear(r.changes)
	}
	if group.IsUnspecified() && r.newest(now) {
		sooner(&r.general, now+within(max))
		return
	}
	for g, m := range r.groups {
		if group.IsUnspecified() || g == group {
			sooner(&m.timer, now+within(max))
		}
	}
}

// sooner arms t for a time, unless it is armed for one before.
func sooner(t *wheel.Timer, at time.Duration) {
	if was, on := t.Pending(); !on || at < was {
		t.Reset(at)
	}
}

// heard takes another's report of a group in an old version: ours need not follow (RFC
// 2236 section 3).
func (r *reporter) heard(group netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.groups[group]; m != nil && !r.newest(r.i.stack.Wheel.Now()) {
		m.timer.Stop()
		m.reported, m.repeat = false, 0
	}
}

// sendRecords sends records in as many reports of the newest version as they need.
func (r *reporter) sendRecords(records []wire.GroupRecord) {
	for len(records) > 0 && r.active() {
		// A report is made in a packet's header area.
		n := min(len(records), 16)
		if r.v6 {
			r.i.sendMLDv2(records[:n])
		} else {
			r.i.sendIGMPv3(records[:n])
		}
		records = records[n:]
	}
}

func (r *reporter) sendReport(group netip.Addr, version int) {
	switch {
	case r.v6:
		r.i.sendMLDv1(wire.ICMPv6MLDReport, group, group)
	case version == 1:
		r.i.sendIGMP(wire.IGMPv1Report, group, group)
	default:
		r.i.sendIGMP(wire.IGMPv2Report, group, group)
	}
}

func (r *reporter) sendLeave(group netip.Addr) {
	if r.v6 {
		r.i.sendMLDv1(wire.ICMPv6MLDDone, group, netip.IPv6LinkLocalAllRouters())
	} else {
		r.i.sendIGMP(wire.IGMPv2Leave, group, allRouters4)
	}
}
