package bridge

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/wire"
)

// maxStations is how many stations are remembered: a hostile one may claim to be any number.
const maxStations = 4096

// refresh is how old the time of a station may be that is heard of: it saves writes.
const refresh = int64(time.Second)

// A station is who has been heard, or is said to be, behind a port.
type station struct {
	port   *ip.Interface
	heard  atomic.Int64 // by the wheel's clock, in ns
	static bool         // does not age, is not learned anew
}

// A Station is an entry of the forwarding database (bridge(8), fdb).
type Station struct {
	MAC    wire.MAC
	Port   *ip.Interface // the bridge's own interface for its own address
	Local  bool          // an address of the bridge or a port: what is sent to it is for this host
	Static bool          // does not age
	Age    time.Duration
}

func (b *Bridge) now() int64 { return int64(b.own.Load().Stack().Wheel.Now()) }

// fresh reports whether a station is still remembered.
func (b *Bridge) fresh(s *station, now int64) bool {
	return s.static || now-s.heard.Load() < b.ageing.Load()
}

// learn notes that a station is behind a port.
func (b *Bridge) learn(mac wire.MAC, port *ip.Interface) {
	now := b.now()
	b.mu.RLock()
	s := b.stations[mac]
	known := s != nil && (s.static || s.port == port)
	if known && !s.static && now-s.heard.Load() > refresh {
		s.heard.Store(now)
	}
	b.mu.RUnlock()
	if known || mac == b.own.Load().HWAddr() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.room(now) {
		return
	}
	s = &station{port: port}
	s.heard.Store(now)
	b.stations[mac] = s
}

// room makes room for one more station, if it may be made. b.mu is held.
func (b *Bridge) room(now int64) bool {
	if len(b.stations) >= maxStations {
		for mac, s := range b.stations {
			if !b.fresh(s, now) {
				delete(b.stations, mac)
			}
		}
	}
	return len(b.stations) < maxStations
}

// find is the port behind which a station is, or nil.
func (b *Bridge) find(mac wire.MAC) *ip.Interface {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if s := b.stations[mac]; s != nil && b.fresh(s, b.now()) {
		return s.port
	}
	return nil
}

// forget forgets who has been heard behind a port. b.mu is held.
func (b *Bridge) forget(port *ip.Interface) {
	for mac, s := range b.stations {
		if s.port == port {
			delete(b.stations, mac)
		}
	}
}

// AddStation says that a station is behind a port. A static one stays there. ENOSPC.
func (b *Bridge) AddStation(mac wire.MAC, port *ip.Interface, static bool) error {
	now := b.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stations[mac] == nil && !b.room(now) {
		return unix.ENOSPC
	}
	s := &station{port: port, static: static}
	s.heard.Store(now)
	b.stations[mac] = s
	return nil
}

// RemoveStation forgets a station. ENOENT.
func (b *Bridge) RemoveStation(mac wire.MAC, port *ip.Interface) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.stations[mac]; s == nil || s.port != port {
		return unix.ENOENT
	}
	delete(b.stations, mac)
	return nil
}

// Stations are the entries of the forwarding database by address: those of the bridge and its ports,
// and who has been heard.
func (b *Bridge) Stations() []Station {
	own := b.own.Load()
	now := b.now()
	l := []Station{{MAC: own.HWAddr(), Port: own, Local: true, Static: true}}
	for _, p := range *b.ports.Load() {
		l = append(l, Station{MAC: p.HWAddr(), Port: p, Local: true, Static: true})
	}
	b.mu.RLock()
	for mac, s := range b.stations {
		if b.fresh(s, now) {
			l = append(l, Station{MAC: mac, Port: s.port, Static: s.static, Age: time.Duration(now - s.heard.Load())})
		}
	}
	b.mu.RUnlock()
	slices.SortStableFunc(l, func(x, y Station) int {
		return cmp.Or(cmp.Compare(x.Port.Index(), y.Port.Index()), slices.Compare(x.MAC[:], y.MAC[:]))
	})
	return l
}
