// Package netstack is a TCP/IP stack in user space that behaves as Linux's does
// towards programs and towards the wire. It depends on nothing but the standard
// library and golang.org/x/sys.
//
// A Stack is the network of one network namespace. Nothing is shared between
// stacks but pools of free buffers, and nothing of a stack is left running after
// Close.
//
// # Layout
//
//	netstack           New, Socket: a stack with all protocols
//	netstack/sock      addresses, messages, socket options, bound ports; the Endpoint interface
//	netstack/tcp       TCP
//	netstack/udp       UDP
//	netstack/raw       raw and ping sockets
//	netstack/afpacket  packet sockets
//	netstack/netconn   net.Conn and net.Listener over endpoints
//	netstack/nft       nftables
//	netstack/iptables  the tables of iptables and ip6tables
//	netstack/xt        matches and targets of both
//	netstack/filter    the packet filter that they configure
//	netstack/ip        interfaces, addresses, routes, neighbours; IPv4, IPv6, ICMP, ARP, NDP
//	netstack/link      the Link interface; below it one package for each kind of link
//	netstack/conntrack connections as the packet filter sees them; NAT
//	netstack/nlmsg     the form of netlink messages
//	netstack/bpf       filters that programs attach to sockets
//	netstack/wire      packet formats and checksums
//	netstack/pkt       packet buffers
//	netstack/backlog   queues between links and protocols
//	netstack/wheel     timers and the clock
//	netstack/sysctl    parameters by the names that /proc/sys/net gives them
//	netstack/siphash   the keyed hash for sequence numbers, cookies and ports
//
// Imports go down that list only, but link uses backlog and pkt alone; its bridge, which has
// interfaces for ports, uses ip.
//
// # How a packet goes
//
// Sending, an endpoint builds the transport header in front of references to
// its queue's data and calls ip.Stack.Output, which adds the network header and
// gives the packet to the interface's link. A link inside the process (loopback,
// veth) puts it into the backlog; when the sender has released its locks it calls
// Run, which delivers what is in the backlog, answers included, on the same
// goroutine. A link to the outside has goroutines of its own that receive, put
// into the backlog and Run; it may also be a backlog.Source, whose packets those who are about
// to wait for them receive. A packet of 64 KiB goes through loopback as one, with
// real headers and without a checksum; data is copied from the application once
// and to the application once. What a source lends (pkt.Lender) is not even copied
// from there.
//
// # Locks
//
// Within an endpoint: the locks of its readers and writers, then its state. A
// listener's request, then its queues, then a new connection's state. Below an
// endpoint's state: the connection table, the bound ports, the configuration
// (ip.Stack.mu), the neighbour table, a backlog queue, the wheel; of these none
// is held while another is taken, but for the configuration, which may be held
// when a neighbour's or the wheel's lock is taken. Notify functions are called
// without any lock of an endpoint's state, an ip.Watcher with the configuration's or the neighbour
// table's. No endpoint is ever locked while
// another one is, but a listener's child that nobody knows yet.
package netstack
