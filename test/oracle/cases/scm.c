// unix(7): descriptors and credentials passed in messages (SCM_RIGHTS, SCM_CREDENTIALS).
#include "oracle.h"

static int send_fd(int s, int fd)
{
	char buf[CMSG_SPACE(sizeof fd)] = {0};
	struct iovec v = {"f", 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = buf, .msg_controllen = sizeof buf};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	return sendmsg(s, &m, 0);
}

static int recv_fd(int s, int flags)
{
	char buf[CMSG_SPACE(sizeof(int))], b;
	struct iovec v = {&b, 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = buf, .msg_controllen = sizeof buf};
	EQ(recvmsg(s, &m, flags), 1);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	CHECK(c != NULL);
	EQ(c->cmsg_level, SOL_SOCKET);
	EQ(c->cmsg_type, SCM_RIGHTS);
	EQ(c->cmsg_len, CMSG_LEN(sizeof(int)));
	int fd;
	memcpy(&fd, CMSG_DATA(c), sizeof fd);
	return fd;
}

CASE(scm_rights_passes_descriptor)
{
	int s[2];
	char b[8] = "";
	put_file("f", "payload");
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	CHILD(k) {
		int fd = OK(open("f", O_RDONLY));
		EQ(lseek(fd, 3, SEEK_SET), 3);
		EQ(send_fd(s[0], fd), 1);
	}
	int fd = recv_fd(s[1], MSG_CMSG_CLOEXEC);
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	EQ(read(fd, b, 8), 4);
	STREQ(b, "load");
	REAP(k);
	EQ(send_fd(s[0], fd), 1);
	EQ(fcntl(recv_fd(s[1], 0), F_GETFD), 0);
}

CASE(scm_rights_errors)
{
	int s[2];
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	ERR(send_fd(s[0], 999), EBADF);
	ERR(send_fd(s[0], -1), EBADF);
	char buf[16] = {0}, b = 'x';
	struct iovec v = {&b, 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = buf, .msg_controllen = sizeof buf};
	struct cmsghdr *c = (void *)buf;
	c->cmsg_len = 100; // longer than the buffer
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	ERR(sendmsg(s[0], &m, 0), EINVAL);
	char *many = calloc(1, CMSG_SPACE(254 * 4));
	m.msg_control = many;
	m.msg_controllen = CMSG_SPACE(254 * 4);
	c = (void *)many;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(254 * 4);
	ERR(sendmsg(s[0], &m, 0), EINVAL); // at most 253
	c->cmsg_len = CMSG_LEN(253 * 4);
	m.msg_controllen = CMSG_SPACE(253 * 4);
	EQ(sendmsg(s[0], &m, 0), 1);
}

CASE(scm_rights_truncated_control)
{
	int s[2];
	char b;
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	EQ(send_fd(s[0], 0), 1);
	struct iovec v = {&b, 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
	EQ(recvmsg(s[1], &m, 0), 1);
	EQ(m.msg_flags & MSG_CTRUNC, MSG_CTRUNC);
	EQ(send_fd(s[0], 0), 1);
	EQ(read(s[1], &b, 1), 1); // read drops the descriptor
}

CASE(scm_rights_in_flight_closed_with_socket)
{
	int s[2], p[2];
	char b;
	OK(pipe(p));
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	EQ(send_fd(s[0], p[1]), 1);
	OK(close(p[1]));
	OK(fcntl(p[0], F_SETFL, O_NONBLOCK));
	ERR(read(p[0], &b, 1), EAGAIN); // the message holds the writer
	OK(close(s[0]));
	OK(close(s[1]));
	EQ(read(p[0], &b, 1), 0);
}

CASE(scm_rights_message_boundary_in_stream)
{
	int s[2];
	char b[16];
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	EQ(write(s[0], "abc", 3), 3);
	EQ(send_fd(s[0], 0), 1);
	EQ(write(s[0], "def", 3), 3);
	char buf[CMSG_SPACE(sizeof(int))];
	struct iovec v = {b, 16};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = buf, .msg_controllen = sizeof buf};
	EQ(recvmsg(s[1], &m, 0), 3 + 1); // one read does not run past data with rights
	CHECK(m.msg_controllen > 0);
	m.msg_controllen = sizeof buf;
	EQ(recvmsg(s[1], &m, 0), 3);
	EQ(m.msg_controllen, 0);
}

CASE(scm_credentials)
{
	int s[2], one = 1;
	char b, buf[CMSG_SPACE(sizeof(struct ucred))];
	OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	OK(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof one));
	CHILD(k) {
		OK(setresgid(77, 77, 77));
		OK(setresuid(66, 66, 66));
		EQ(send(s[0], "x", 1, 0), 1);
	}
	struct iovec v = {&b, 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = buf, .msg_controllen = sizeof buf};
	EQ(recvmsg(s[1], &m, 0), 1);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	CHECK(c);
	EQ(c->cmsg_type, SCM_CREDENTIALS);
	struct ucred u;
	memcpy(&u, CMSG_DATA(c), sizeof u);
	EQ(u.pid, k);
	EQ(u.uid, 66);
	EQ(u.gid, 77);
	REAP(k);
}

CASE(scm_credentials_forging)
{
	int s[2];
	OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	CHILD(k) {
		become_nobody();
		char buf[CMSG_SPACE(sizeof(struct ucred))] = {0};
		struct iovec v = {"x", 1};
		struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = buf, .msg_controllen = sizeof buf};
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		struct ucred u = {getpid(), 0, 65534};
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_CREDENTIALS;
		c->cmsg_len = CMSG_LEN(sizeof u);
		memcpy(CMSG_DATA(c), &u, sizeof u);
		ERR(sendmsg(s[0], &m, 0), EPERM);
		u.uid = 65534;
		memcpy(CMSG_DATA(c), &u, sizeof u);
		EQ(sendmsg(s[0], &m, 0), 1);
		u.pid = getppid();
		memcpy(CMSG_DATA(c), &u, sizeof u);
		ERR(sendmsg(s[0], &m, 0), EPERM);
	}
	REAP(k);
}

// What waits in sockets that nobody can reach any more goes with them: here the end of a pipe, in one
// of two sockets that wait in each other.
CASE(scm_rights_unreachable)
{
	int s[2], r[2], p[2];
	char b;
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, r));
	OK(pipe(p));
	EQ(send_fd(s[0], p[1]), 1);
	EQ(send_fd(s[0], r[1]), 1);
	EQ(send_fd(r[0], s[1]), 1);
	OK(close(p[1]));
	OK(close(r[1]));
	OK(close(s[1]));
	struct pollfd f = {p[0], POLLIN, 0};
	OK(close(r[0]));
	OK(close(s[0]));
	EQ(poll(&f, 1, 10000), 1);
	EQ(f.revents, POLLHUP);
	EQ(read(p[0], &b, 1), 0);
}
