package ip

import (
	"strings"

	"casemate/netstack/sysctl"
)

// conf4 are the parameters net.ipv4.conf.NAME.*, of an interface, of all, or of those
// that are yet to be made ("default").
type conf4 struct {
	Forwarding, RPFilter, AcceptLocal, RouteLocalnet, ForceIGMP *sysctl.Int
}

// conf6 are the parameters net.ipv6.conf.NAME.*.
type conf6 struct {
	Disable, Forwarding, ForceMLD                          *sysctl.Int
	AcceptRA, AcceptRADefRtr, AcceptRAPinfo, AcceptRAMTU   *sysctl.Int
	Autoconf, AcceptDAD, DADTransmits, RouterSolicitations *sysctl.Int
}

// newConf4 registers the parameters under name with the values of def, or Linux's.
func (s *Stack) newConf4(name string, def *conf4) conf4 {
	var c conf4
	n := func(p **sysctl.Int, key string, max, first int64, from func(*conf4) *sysctl.Int) {
		if def != nil {
			first = int64(from(def).Get())
		}
		*p = s.Sysctl.New("net.ipv4.conf."+confName(name)+"."+key, 0, max, first)
	}
	n(&c.Forwarding, "forwarding", 1, 0, func(d *conf4) *sysctl.Int { return d.Forwarding })
	n(&c.RPFilter, "rp_filter", 2, 0, func(d *conf4) *sysctl.Int { return d.RPFilter })
	n(&c.AcceptLocal, "accept_local", 1, 0, func(d *conf4) *sysctl.Int { return d.AcceptLocal })
	n(&c.RouteLocalnet, "route_localnet", 1, 0, func(d *conf4) *sysctl.Int { return d.RouteLocalnet })
	n(&c.ForceIGMP, "force_igmp_version", 3, 0, func(d *conf4) *sysctl.Int { return d.ForceIGMP })
	return c
}

// newConf6 is newConf4 for IPv6.
func (s *Stack) newConf6(name string, def *conf6) conf6 {
	var c conf6
	n := func(p **sysctl.Int, key string, min, max, first int64, from func(*conf6) *sysctl.Int) {
		if def != nil {
			first = int64(from(def).Get())
		}
		*p = s.Sysctl.New("net.ipv6.conf."+confName(name)+"."+key, min, max, first)
	}
	n(&c.Disable, "disable_ipv6", 0, 1, 0, func(d *conf6) *sysctl.Int { return d.Disable })
	n(&c.Forwarding, "forwarding", 0, 1, 0, func(d *conf6) *sysctl.Int { return d.Forwarding })
	n(&c.ForceMLD, "force_mld_version", 0, 2, 0, func(d *conf6) *sysctl.Int { return d.ForceMLD })
	n(&c.AcceptRA, "accept_ra", 0, 2, 1, func(d *conf6) *sysctl.Int { return d.AcceptRA })
	n(&c.AcceptRADefRtr, "accept_ra_defrtr", 0, 1, 1, func(d *conf6) *sysctl.Int { return d.AcceptRADefRtr })
	n(&c.AcceptRAPinfo, "accept_ra_pinfo", 0, 1, 1, func(d *conf6) *sysctl.Int { return d.AcceptRAPinfo })
	n(&c.AcceptRAMTU, "accept_ra_mtu", 0, 1, 1, func(d *conf6) *sysctl.Int { return d.AcceptRAMTU })
	n(&c.Autoconf, "autoconf", 0, 1, 1, func(d *conf6) *sysctl.Int { return d.Autoconf })
	n(&c.AcceptDAD, "accept_dad", 0, 2, 1, func(d *conf6) *sysctl.Int { return d.AcceptDAD })
	n(&c.DADTransmits, "dad_transmits", 0, 64, 1, func(d *conf6) *sysctl.Int { return d.DADTransmits })
	n(&c.RouterSolicitations, "router_solicitations", -1, 1<<31-1, -1, func(d *conf6) *sysctl.Int { return d.RouterSolicitations })
	return c
}

// confName is an interface's name as part of a parameter's: dots separate the parts, so
// that one of the name becomes a slash (sysctl(8)).
func confName(name string) string { return strings.ReplaceAll(name, ".", "/") }

// registerConf makes the parameters of all interfaces and of new ones.
func (s *Stack) registerConf() {
	s.all4, s.all6 = s.newConf4("all", nil), s.newConf6("all", nil)
	s.def4, s.def6 = s.newConf4("default", nil), s.newConf6("default", nil)
	// What is set for all is set for each, and for those to come; ip_forward is forwarding
	// of all.
	s.all4.Forwarding.Changed = func() { s.Params.Forward.Set(int64(s.all4.Forwarding.Get())) }
	s.Params.Forward.Changed = func() {
		v := int64(s.Params.Forward.Get())
		if int64(s.all4.Forwarding.Get()) != v {
			s.all4.Forwarding.Set(v)
			return
		}
		s.def4.Forwarding.Set(v)
		for _, i := range s.Interfaces() {
			i.conf4.Forwarding.Set(v)
		}
	}
	s.all6.Forwarding.Changed = func() {
		v := int64(s.all6.Forwarding.Get())
		s.def6.Forwarding.Set(v)
		for _, i := range s.Interfaces() {
			i.conf6.Forwarding.Set(v)
		}
	}
	s.all6.Disable.Changed = func() {
		v := int64(s.all6.Disable.Get())
		s.def6.Disable.Set(v)
		for _, i := range s.Interfaces() {
			i.conf6.Disable.Set(v)
		}
	}
	s.Params.Forward6 = s.all6.Forwarding
}

// register makes the interface's parameters.
func (i *Interface) register() {
	s := i.stack
	i.conf4, i.conf6 = s.newConf4(i.Name(), &s.def4), s.newConf6(i.Name(), &s.def6)
	i.conf6.Disable.Changed = func() { s.SetIPv6(i, !i.conf6.Disable.Bool()) }
}

// unregister removes them, when the interface goes or gets another name.
func (i *Interface) unregister() {
	s := i.stack
	s.Sysctl.Remove("net.ipv4.conf." + confName(i.Name()) + ".")
	s.Sysctl.Remove("net.ipv6.conf." + confName(i.Name()) + ".")
}

// rename moves the parameters to another name, values and all.
func (i *Interface) rename(name string) {
	s := i.stack
	for _, family := range []string{"net.ipv4.conf.", "net.ipv6.conf."} {
		s.Sysctl.Rename(family+confName(i.Name())+".", family+confName(name)+".")
	}
}
