// sock_diag.c: questions about sockets with a filter, as ss(8) asks them (sock_diag(7)).
#include "inet.h"
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>

// listeners asks for the listening sockets that a filter chooses. It returns how many of them have
// the port, with the others in *others, or a negative error number.
static int listeners(const void *code, size_t n, int port, int *others)
{
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 r;
		struct nlattr a;
		char code[200];
	} q = {.h = {.nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
	       .r = {.sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = 1 << 10},
	       .a = {.nla_len = NLA_HDRLEN + n, .nla_type = INET_DIAG_REQ_BYTECODE}};
	static char b[1 << 16];
	int found = 0, s = OK(socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG));
	memcpy(q.code, code, n);
	q.h.nlmsg_len = offsetof(__typeof__(q), code) + n;
	EQ(send(s, &q, q.h.nlmsg_len, 0), q.h.nlmsg_len);
	for (*others = 0;;) {
		int len = OK(recv(s, b, sizeof b, 0));
		for (struct nlmsghdr *h = (void *)b; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
			if (h->nlmsg_type == NLMSG_ERROR) {
				OK(close(s));
				return *(int *)NLMSG_DATA(h);
			}
			if (h->nlmsg_type == NLMSG_DONE) {
				int e = *(int *)NLMSG_DATA(h);
				OK(close(s));
				return e < 0 ? e : found;
			}
			struct inet_diag_msg *m = NLMSG_DATA(h);
			if (ntohs(m->id.idiag_sport) == port)
				found++;
			else
				++*others;
		}
	}
}

CASE(diag_filter_ports)
{
	int port, other, others;
	OK(listener(&port));
	OK(listener(&other));
	struct inet_diag_bc_op any[] = {{INET_DIAG_BC_NOP, 4, 0}};
	EQ(listeners(any, sizeof any, port, &others), 1);
	CHECK(others >= 1);
	struct inet_diag_bc_op is[] = {{INET_DIAG_BC_S_EQ, 8, 12}, {0, 0, port}};
	EQ(listeners(is, sizeof is, port, &others), 1);
	EQ(others, 0);
	EQ(listeners(is, sizeof is, other, &others), 0);
	EQ(others, 1);
	struct inet_diag_bc_op not[] = {{INET_DIAG_BC_S_EQ, 8, 12}, {0, 0, port}, {INET_DIAG_BC_JMP, 4, 8}};
	EQ(listeners(not, sizeof not, port, &others), 0);
	CHECK(others >= 1);
	struct inet_diag_bc_op between[] = {{INET_DIAG_BC_S_GE, 8, 20}, {0, 0, port}, {INET_DIAG_BC_S_LE, 8, 12}, {0, 0, port}};
	EQ(listeners(between, sizeof between, port, &others), 1);
	EQ(others, 0);
	struct inet_diag_bc_op peer[] = {{INET_DIAG_BC_D_EQ, 8, 12}, {0, 0, port}};
	EQ(listeners(peer, sizeof peer, port, &others), 0);
	EQ(others, 0);
}

CASE(diag_filter_addresses)
{
	struct {
		struct inet_diag_bc_op op;
		struct inet_diag_hostcond h;
		uint32_t addr;
	} f = {{INET_DIAG_BC_S_COND, 16, 20}, {AF_INET, 8, -1}, htonl(0x7f000000)};
	int port, others;
	OK(listener(&port));
	EQ(listeners(&f, sizeof f, port, &others), 1);
	f.h.port = port;
	EQ(listeners(&f, sizeof f, port, &others), 1);
	EQ(others, 0);
	f.h.port = port ^ 1;
	EQ(listeners(&f, sizeof f, port, &others), 0);
	f.h.port = -1;
	f.addr = htonl(0x0a000000);
	EQ(listeners(&f, sizeof f, port, &others), 0);
	f.h.prefix_len = 0;
	EQ(listeners(&f, sizeof f, port, &others), 1);
	f.h.prefix_len = 33;
	EQ(listeners(&f, sizeof f, port, &others), -EINVAL);
	f.h.prefix_len = 8;
	f.h.family = AF_UNIX;
	EQ(listeners(&f, sizeof f, port, &others), -EINVAL);
	struct {
		struct inet_diag_bc_op op;
		struct inet_diag_hostcond h;
	} g = {{INET_DIAG_BC_S_COND, 12, 16}, {AF_UNSPEC, 0, port}};
	EQ(listeners(&g, sizeof g, port, &others), 1);
	EQ(others, 0);
}

CASE(diag_filter_malformed)
{
	int others;
	struct inet_diag_bc_op bad[][2] = {
		{{INET_DIAG_BC_S_EQ, 4, 12}, {0, 0, 80}},  // shorter than it is
		{{INET_DIAG_BC_S_EQ, 12, 12}, {0, 0, 80}}, // goes on behind the end
		{{INET_DIAG_BC_S_EQ, 8, 16}, {0, 0, 80}},
		{{INET_DIAG_BC_S_EQ, 8, 0}, {0, 0, 80}}, // goes nowhere
		{{INET_DIAG_BC_S_EQ, 8, 10}, {0, 0, 80}},
		{{INET_DIAG_BC_S_COND, 8, 12}, {0, 0, 80}}, // has no room for an address
		{{99, 8, 12}, {0, 0, 80}},
		{{INET_DIAG_BC_NOP, 4, 0}, {99, 4, 0}},
	};
	for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
		EQ(listeners(bad[k], sizeof bad[k], 80, &others), -EINVAL);
}
