package cgroup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// jobTime is how long systemd may take to start or stop a unit.
const jobTime = 30 * time.Second

// withSystemd calls f with a connection to systemd: the system's, or for an ordinary user that
// of the user's own.
func withSystemd(f func(context.Context, *dbus.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), jobTime)
	defer cancel()
	uid, err := outerUser()
	if err != nil {
		return err
	}
	connect := dbus.NewWithContext
	if uid != 0 {
		connect = func(ctx context.Context) (*dbus.Conn, error) { return dialUser(ctx, uid) }
	}
	conn, err := connect(ctx)
	if err != nil {
		return fmt.Errorf("connecting to systemd: %w", err)
	}
	defer conn.Close()
	return f(ctx, conn)
}

// outerUser is the caller's user outside of the user namespace that it may be in: that of the
// buses (user_namespaces(7)).
func outerUser() (int, error) {
	f, err := os.Open("/proc/self/uid_map")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	uid := os.Geteuid()
	for s := bufio.NewScanner(f); s.Scan(); {
		var inner, outer, n int
		if _, err := fmt.Sscan(s.Text(), &inner, &outer, &n); err == nil && uid >= inner && uid-inner < n {
			return outer + uid - inner, nil
		}
	}
	return uid, nil
}

// dialUser connects to the bus of a user's session.
func dialUser(ctx context.Context, uid int) (*dbus.Conn, error) {
	return dbus.NewConnection(func() (*godbus.Conn, error) {
		address := os.Getenv("DBUS_SESSION_BUS_ADDRESS")
		if address == "" {
			dir := os.Getenv("XDG_RUNTIME_DIR")
			if dir == "" {
				dir = fmt.Sprintf("/run/user/%d", uid)
			}
			address = "unix:path=" + filepath.Join(dir, "bus")
		}
		conn, err := godbus.Dial(address, godbus.WithContext(ctx))
		if err != nil {
			return nil, err
		}
		if err = conn.Auth([]godbus.Auth{godbus.AuthExternal(fmt.Sprint(uid))}); err == nil {
			err = conn.Hello()
		}
		if err != nil {
			conn.Close()
			return nil, err
		}
		return conn, nil
	})
}

// job waits for the end of what systemd does.
func job(ctx context.Context, what string, results <-chan string) error {
	select {
	case result := <-results:
		if result != "done" {
			return fmt.Errorf("%s: systemd says: %s", what, result)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
}

// startUnit has systemd make the place's unit with one process in it, and its limits.
func (p *Place) startUnit(pid int, r *specs.LinuxResources) error {
	yes := godbus.MakeVariant(true)
	properties := []dbus.Property{
		dbus.PropDescription("container of runsc: " + p.Unit), dbus.PropSlice(p.Slice), dbus.PropPids(uint32(pid)),
		{Name: "Delegate", Value: yes}, {Name: "DefaultDependencies", Value: godbus.MakeVariant(false)},
		{Name: "MemoryAccounting", Value: yes}, {Name: "CPUAccounting", Value: yes}, {Name: "TasksAccounting", Value: yes},
	}
	if p.unified() {
		properties = append(properties, dbus.Property{Name: "IOAccounting", Value: yes})
	} else {
		properties = append(properties, dbus.Property{Name: "BlockIOAccounting", Value: yes})
	}
	properties = append(properties, p.properties(r)...)
	return withSystemd(func(ctx context.Context, conn *dbus.Conn) error {
		what := "starting the unit " + p.Unit
		results := make(chan string, 1)
		_, err := conn.StartTransientUnitContext(ctx, p.Unit, "replace", properties, results)
		if is(err, "org.freedesktop.systemd1.UnitExists") {
			// It has failed, or is one that a killed command has left.
			conn.ResetFailedUnitContext(ctx, p.Unit)
			results = make(chan string, 1)
			_, err = conn.StartTransientUnitContext(ctx, p.Unit, "replace", properties, results)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return job(ctx, what, results)
	})
}

// stopUnit has systemd end the place's unit, with all processes in it, if it is there.
func (p *Place) stopUnit() error {
	return withSystemd(func(ctx context.Context, conn *dbus.Conn) error {
		what := "stopping the unit " + p.Unit
		results := make(chan string, 1)
		_, err := conn.StopUnitContext(ctx, p.Unit, "replace", results)
		if is(err, "org.freedesktop.systemd1.NoSuchUnit") {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if err := job(ctx, what, results); err != nil {
			return err
		}
		conn.ResetFailedUnitContext(ctx, p.Unit) // else its name stays taken if it has failed
		return nil
	})
}

// is reports whether err is the error of that name.
func is(err error, name string) bool {
	var e godbus.Error
	return errors.As(err, &e) && e.Name == name
}

// setUnit changes the limits of the place's unit that r names.
func (p *Place) setUnit(r *specs.LinuxResources) error {
	properties := p.properties(r)
	if len(properties) == 0 {
		return nil
	}
	return withSystemd(func(ctx context.Context, conn *dbus.Conn) error {
		if err := conn.SetUnitPropertiesContext(ctx, p.Unit, true, properties...); err != nil {
			return fmt.Errorf("changing the unit %s: %w", p.Unit, err)
		}
		return nil
	})
}

func (p *Place) unified() bool {
	_, ok := p.Paths[""]
	return ok
}

// properties are the limits of r as systemd calls them (systemd.resource-control(5)): those
// that it would otherwise set anew some time. All limits are set in the group's files besides.
func (p *Place) properties(r *specs.LinuxResources) (list []dbus.Property) {
	if r == nil {
		return nil
	}
	set := func(name string, v uint64) {
		list = append(list, dbus.Property{Name: name, Value: godbus.MakeVariant(v)})
	}
	limit := func(name string, v *int64) {
		if v != nil {
			set(name, unlimited(*v))
		}
	}
	r = asked(r)
	if m := r.Memory; m != nil {
		if p.unified() {
			limit("MemoryMax", m.Limit)
			limit("MemoryLow", m.Reservation)
		} else {
			limit("MemoryLimit", m.Limit)
		}
	}
	if c := r.CPU; c != nil {
		if c.Shares != nil && p.unified() {
			set("CPUWeight", 1+(max(*c.Shares, 2)-2)*9999/262142)
		} else if c.Shares != nil {
			set("CPUShares", *c.Shares)
		}
		period := uint64(defaultPeriod)
		if c.Period != nil {
			period = *c.Period
			set("CPUQuotaPeriodUSec", period)
		}
		if c.Quota != nil {
			set("CPUQuotaPerSecUSec", perSecond(*c.Quota, period))
		}
	}
	if limit := hostPids(r.Pids); limit != nil && limit.Limit != nil && *limit.Limit != 0 {
		set("TasksMax", unlimited(*limit.Limit))
	}
	if b := blockIO(r.BlockIO); b != nil && b.Weight != nil && !p.unified() {
		set("BlockIOWeight", uint64(*b.Weight))
	}
	return list
}

// unlimited is a limit in which -1 stands for none as systemd has it.
func unlimited(v int64) uint64 {
	if v < 0 {
		return math.MaxUint64
	}
	return uint64(v)
}

// perSecond is a CPU quota of µs in each period as that in each second. systemd cuts it to
// whole per cent, which must not be less than was asked for.
func perSecond(quota int64, period uint64) uint64 {
	if quota < 0 || period == 0 {
		return math.MaxUint64
	}
	const second, percent = 1000000, 10000
	v := uint64(quota) * second / period
	return (v + percent - 1) / percent * percent
}
