// Packet sockets, packet(7): what they see of the loopback device, filters, rings.
#include "inet.h"
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>

// packet_socket makes one that sees IPv4 frames of lo from here on.
static int packet_socket(int type)
{
	int s = OK(socket(AF_PACKET, type, 0));
	struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = if_nametoindex("lo")};
	OK(bind(s, (void *)&a, sizeof a));
	return s;
}

// udp_to attaches a filter for datagrams to that port; at is where the IP header begins.
static void udp_to(int s, int port, int at)
{
	struct sock_filter code[] = {
		{BPF_LD | BPF_B | BPF_ABS, 0, 0, at + 9},
		{BPF_JMP | BPF_JEQ | BPF_K, 0, 3, IPPROTO_UDP},
		{BPF_LD | BPF_H | BPF_ABS, 0, 0, at + 22},
		{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, port},
		{BPF_RET | BPF_K, 0, 0, 0x40000},
		{BPF_RET | BPF_K, 0, 0, 0},
	};
	struct sock_fprog p = {6, code};
	OK(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof p));
}

CASE(packet_raw)
{
	int s = packet_socket(SOCK_RAW), port, r = OK(socket(AF_INET, SOCK_DGRAM, 0));
	struct sockaddr_in a = addr(0);
	OK(bind(r, (void *)&a, sizeof a));
	port = port_of(r);
	udp_to(s, port, 14);
	a = addr(port);
	EQ(sendto(r, "hello", 5, 0, (void *)&a, sizeof a), 5);
	unsigned char b[200];
	struct sockaddr_ll from;
	socklen_t n = sizeof from;
	EQ(recvfrom(s, b, sizeof b, 0, (void *)&from, &n), 14 + 28 + 5);
	EQ(from.sll_family, AF_PACKET);
	EQ(ntohs(from.sll_protocol), ETH_P_IP);
	EQ(from.sll_ifindex, if_nametoindex("lo"));
	EQ(from.sll_hatype, 772);
	EQ(from.sll_halen, 6);
	EQ(n, sizeof from);
	EQ(b[12] << 8 | b[13], ETH_P_IP);
	EQ(b[14], 0x45);
	EQ(memcmp(b + 42, "hello", 5), 0);
	ERR(listen(s, 1), EOPNOTSUPP);
	ERR(connect(s, (void *)&from, n), EOPNOTSUPP);
	ERR(getpeername(s, (void *)&from, &n), EOPNOTSUPP);
}

CASE(packet_cooked)
{
	int s = packet_socket(SOCK_DGRAM), r = OK(socket(AF_INET, SOCK_DGRAM, 0));
	struct sockaddr_in a = addr(0);
	OK(bind(r, (void *)&a, sizeof a));
	a = addr(port_of(r));
	udp_to(s, ntohs(a.sin_port), 0);
	EQ(sendto(r, "hello", 5, 0, (void *)&a, sizeof a), 5);
	unsigned char b[10];
	EQ(recv(s, b, sizeof b, MSG_PEEK | MSG_TRUNC), 33);
	EQ(recv(s, b, sizeof b, 0), 10);
	EQ(b[0], 0x45);
}

CASE(packet_bind)
{
	int s = OK(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ARP)));
	struct sockaddr_ll a = {0};
	socklen_t n = sizeof a;
	OK(getsockname(s, (void *)&a, &n));
	EQ(a.sll_family, AF_PACKET);
	EQ(ntohs(a.sll_protocol), ETH_P_ARP);
	EQ(a.sll_ifindex, 0);
	a.sll_ifindex = 12345;
	ERR(bind(s, (void *)&a, sizeof a), ENODEV);
	a.sll_family = AF_INET;
	ERR(bind(s, (void *)&a, sizeof a), EINVAL);
	ERR(bind(s, (void *)&a, 10), EINVAL);
	ERR(socket(AF_PACKET, SOCK_STREAM, 0), ESOCKTNOSUPPORT);
}

CASE(packet_filter_refused)
{
	int s = packet_socket(SOCK_RAW);
	struct sock_filter jump[] = {{BPF_JMP | BPF_JA, 0, 0, 1}, {BPF_RET | BPF_K, 0, 0, 1}};
	struct sock_filter open[] = {{BPF_LD | BPF_IMM, 0, 0, 1}};
	struct sock_filter zero[] = {{BPF_ALU | BPF_DIV | BPF_K, 0, 0, 0}, {BPF_RET | BPF_K, 0, 0, 1}};
	struct sock_fprog p = {2, jump};
	ERR(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof p), EINVAL);
	p = (struct sock_fprog){1, open};
	ERR(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof p), EINVAL);
	p = (struct sock_fprog){2, zero};
	ERR(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof p), EINVAL);
	p = (struct sock_fprog){0, zero};
	ERR(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof p), EINVAL);
}

CASE(packet_ring)
{
	int s = packet_socket(SOCK_RAW), v = TPACKET_V2;
	socklen_t n = sizeof v;
	OK(getsockopt(s, SOL_PACKET, PACKET_HDRLEN, &v, &n));
	EQ(v, sizeof(struct tpacket2_hdr));
	v = TPACKET_V2;
	OK(setsockopt(s, SOL_PACKET, PACKET_VERSION, &v, sizeof v));
	struct tpacket_req bad = {4096, 2, 2048, 5}, req = {4096, 2, 2048, 4};
	ERR(mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, s, 0) == MAP_FAILED ? -1 : 0, EINVAL);
	ERR(setsockopt(s, SOL_PACKET, PACKET_RX_RING, &bad, sizeof bad), EINVAL);
	OK(setsockopt(s, SOL_PACKET, PACKET_RX_RING, &req, sizeof req));
	ERR(setsockopt(s, SOL_PACKET, PACKET_RX_RING, &req, sizeof req), EBUSY);
	char *ring = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, s, 0);
	CHECK(ring != MAP_FAILED);
	int r = OK(socket(AF_INET, SOCK_DGRAM, 0));
	struct sockaddr_in a = addr(0);
	OK(bind(r, (void *)&a, sizeof a));
	a = addr(port_of(r));
	udp_to(s, ntohs(a.sin_port), 14);
	struct pollfd p = {s, POLLIN, 0};
	EQ(poll(&p, 1, 0), 0);
	// Each datagram is seen on its way out and on its way in, in two frames, if the
	// socket is for all protocols; this one sees what comes in.
	for (int round = 0; round < 6; round++) {
		char text[16];
		snprintf(text, sizeof text, "number %d", round);
		EQ(sendto(r, text, 8, 0, (void *)&a, sizeof a), 8);
		p.revents = 0;
		EQ(poll(&p, 1, 5000), 1);
		EQ(p.revents, POLLIN);
		struct tpacket2_hdr *h = (void *)(ring + round % 4 * 2048);
		EQ(h->tp_status & TP_STATUS_USER, TP_STATUS_USER);
		EQ(h->tp_len, 14 + 28 + 8);
		EQ(h->tp_snaplen, 14 + 28 + 8);
		EQ(h->tp_mac, 66);
		EQ(h->tp_net, 80);
		CHECK(h->tp_sec > 1000000000);
		struct sockaddr_ll *from = (void *)((char *)h + TPACKET_ALIGN(sizeof *h));
		EQ(from->sll_ifindex, if_nametoindex("lo"));
		EQ(memcmp((char *)h + h->tp_mac + 42, text, 8), 0);
		h->tp_status = TP_STATUS_KERNEL;
		EQ(poll(&p, 1, 0), 0);
	}
	// A full ring drops.
	for (int i = 0; i < 6; i++)
		EQ(sendto(r, "full", 4, 0, (void *)&a, sizeof a), 4);
	struct tpacket_stats st;
	n = sizeof st;
	OK(getsockopt(s, SOL_PACKET, PACKET_STATISTICS, &st, &n));
	EQ(st.tp_packets, 12);
	EQ(st.tp_drops, 2);
	OK(getsockopt(s, SOL_PACKET, PACKET_STATISTICS, &st, &n));
	EQ(st.tp_packets, 0);
}

CASE(packet_send)
{
	enum { LOCAL = 0x88b5 }; // of IEEE 802, for experiments
	int s = OK(socket(AF_PACKET, SOCK_DGRAM, htons(LOCAL))), r = OK(socket(AF_PACKET, SOCK_RAW, htons(LOCAL)));
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(LOCAL), .sll_ifindex = if_nametoindex("lo"), .sll_halen = 6};
	ERR(send(s, "sent", 4, 0), ENXIO);
	EQ(sendto(s, "sent", 4, 0, (void *)&to, sizeof to), 4);
	unsigned char got[64];
	EQ(recv(r, got, sizeof got, 0), 18);
	EQ(got[12] << 8 | got[13], LOCAL);
	EQ(memcmp(got + 14, "sent", 4), 0);
	to.sll_ifindex = 12345;
	ERR(sendto(s, "sent", 4, 0, (void *)&to, sizeof to), ENXIO);
}
