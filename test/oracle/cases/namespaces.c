// Namespaces: unshare(2), setns(2), the files of nsfs, ioctl_ns(2), and what a network namespace has
// of its own. What takes privileges is done in a user namespace.
#include "inet.h"
#include <linux/nsfs.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/un.h>
#include <sys/vfs.h>

#define NSFS_MAGIC 0x6e736673
#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894c
#endif
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static void put(const char *path, const char *text)
{
	int f = OK(open(path, O_WRONLY));
	EQ(write(f, text, strlen(text)), strlen(text));
	OK(close(f));
}

// own_user enters a new user namespace, as root there, and new namespaces of other kinds.
static void own_user(int kinds)
{
	OK(unshare(CLONE_NEWUSER | kinds));
	put("/proc/self/setgroups", "deny");
	put("/proc/self/uid_map", "0 0 1");
	put("/proc/self/gid_map", "0 0 1");
}

// number is the inode number of a namespace of a process, by its link.
static unsigned long number(const char *process, const char *name)
{
	char path[64], text[64];
	unsigned long n = 0;
	snprintf(path, sizeof path, "/proc/%s/ns/%s", process, name);
	ssize_t len = readlink(path, text, sizeof text - 1);
	if (len < 0)
		return 0;
	text[len] = 0;
	CHECK(sscanf(strchr(text, ':'), ":[%lu]", &n) == 1);
	return n;
}

static int ns_file(const char *name)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/self/ns/%s", name);
	return OK(open(path, O_RDONLY | O_CLOEXEC));
}

// lo_flags are those of the loopback device.
static int lo_flags(int s)
{
	struct ifreq r = {.ifr_name = "lo"};
	OK(ioctl(s, SIOCGIFFLAGS, &r));
	return r.ifr_flags;
}

static int lo_up(int s)
{
	struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	return ioctl(s, SIOCSIFFLAGS, &r);
}

static const char *kinds[] = {"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"};
static const int flags_of[] = {CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS};
#define KINDS 7

CASE(ns_files)
{
	for (int i = 0; i < KINDS; i++) {
		int a = ns_file(kinds[i]), b = ns_file(kinds[i]);
		struct stat x, y;
		struct statfs fs;
		char c, link[64], path[64];
		OK(fstat(a, &x));
		OK(fstat(b, &y));
		EQ(x.st_ino, y.st_ino);
		EQ(x.st_dev, y.st_dev);
		EQ(x.st_ino, number("self", kinds[i]));
		EQ(x.st_mode, S_IFREG | 0444);
		OK(fstatfs(a, &fs));
		EQ(fs.f_type, NSFS_MAGIC);
		ERR(read(a, &c, 1), EINVAL);
		snprintf(path, sizeof path, "/proc/self/fd/%d", a);
		ssize_t n = OK(readlink(path, link, sizeof link - 1));
		link[n] = 0;
		snprintf(path, sizeof path, "%s:[%lu]", kinds[i], (unsigned long)x.st_ino);
		STREQ(link, path);
		OK(close(a));
		OK(close(b));
	}
	ERR(open("/proc/self/ns/nosuch", O_RDONLY), ENOENT);
}

CASE(ns_ioctl)
{
	for (int i = 0; i < KINDS; i++) {
		int f = ns_file(kinds[i]), user;
		uid_t uid;
		EQ(ioctl(f, NS_GET_NSTYPE), flags_of[i]);
		if (flags_of[i] != CLONE_NEWUSER) {
			struct stat s;
			user = OK(ioctl(f, NS_GET_USERNS));
			OK(fstat(user, &s));
			EQ(s.st_ino, number("self", "user"));
			EQ(fcntl(user, F_GETFD), FD_CLOEXEC);
			ERR(ioctl(f, NS_GET_OWNER_UID, &uid), EINVAL);
			OK(close(user));
		}
		if (flags_of[i] == CLONE_NEWUSER || flags_of[i] == CLONE_NEWPID)
			ERR(ioctl(f, NS_GET_PARENT), EPERM);
		else
			ERR(ioctl(f, NS_GET_PARENT), EINVAL);
		ERR(ioctl(f, TIOCGWINSZ, &uid), ENOTTY);
		OK(close(f));
	}
	unsigned long outer = number("self", "user");
	int net = ns_file("net");
	own_user(CLONE_NEWUTS);
	struct stat s;
	uid_t uid = 7;
	int f = ns_file("user");
	OK(ioctl(f, NS_GET_OWNER_UID, &uid));
	EQ(uid, 0);
	ERR(ioctl(f, NS_GET_PARENT), EPERM);
	ERR(ioctl(net, NS_GET_USERNS), EPERM);
	int owner = OK(ioctl(ns_file("uts"), NS_GET_USERNS));
	OK(fstat(owner, &s));
	EQ(s.st_ino, number("self", "user"));
	CHECK(s.st_ino != outer);
}

CASE(ns_unshare_each)
{
	own_user(0);
	for (int i = 0; i < KINDS; i++) {
		const char *name = flags_of[i] == CLONE_NEWPID ? "pid_for_children" : kinds[i];
		unsigned long before = number("self", name);
		if (flags_of[i] == CLONE_NEWUSER)
			continue;
		OK(unshare(flags_of[i]));
		CHECK(number("self", name) != before);
	}
	// There is no pid namespace to be seen before it has a process.
	EQ(number("self", "pid_for_children"), 0);
	ERR(unshare(CLONE_NEWPID), EINVAL);
	ERR(unshare(1), EINVAL);
}

CASE(ns_user_map)
{
	OK(unshare(CLONE_NEWUSER));
	put("/proc/self/setgroups", "deny");
	int f = OK(open("/proc/self/gid_map", O_WRONLY));
	ERR(write(f, "0 0", 3), EINVAL);
	ERR(write(f, "0 1 1", 5), EPERM);
	EQ(write(f, "0 0 1\n\0rest", 11), 11);
	ERR(write(f, "0 0 1", 5), EINVAL);
	ERR(write(OK(open("/proc/self/gid_map", O_WRONLY)), "0 0 1", 5), EPERM);
	f = OK(open("/proc/self/uid_map", O_WRONLY));
	ERR(write(f, "0 0 1 1", 7), EINVAL);
	EQ(write(f, "  5 0\t1", 7), 7);
	EQ(getuid(), 5);
	EQ(getgid(), 0);
}

CASE(ns_setns_errors)
{
	int net = ns_file("net"), zero = OK(open("/dev/zero", O_RDONLY)), user = ns_file("user");
	ERR(setns(-1, 0), EBADF);
	ERR(setns(zero, 0), EINVAL);
	ERR(setns(zero, CLONE_NEWNET), EINVAL);
	ERR(setns(net, CLONE_NEWUTS), EINVAL);
	ERR(setns(net, CLONE_NEWNET | CLONE_NEWUTS), EINVAL);
	ERR(setns(user, CLONE_NEWUSER), EINVAL);
	CHILD(a) {
		become_nobody();
		ERR(setns(net, CLONE_NEWNET), EPERM);
		ERR(setns(net, 0), EPERM);
	}
	REAP(a);
	// Privileges in one's own user namespace are none in the one that owns the namespace.
	own_user(0);
	ERR(setns(net, CLONE_NEWNET), EPERM);
	ERR(setns(user, CLONE_NEWUSER), EPERM);
}

CASE(ns_setns_and_back)
{
	own_user(CLONE_NEWNET | CLONE_NEWUTS);
	int net = ns_file("net"), uts = ns_file("uts"), s = OK(socket(AF_INET, SOCK_DGRAM, 0));
	unsigned long first = number("self", "net");
	OK(lo_up(s));
	OK(sethostname("first", 5));
	OK(unshare(CLONE_NEWNET | CLONE_NEWUTS));
	OK(sethostname("second", 6));
	int other = OK(socket(AF_INET, SOCK_DGRAM, 0));
	EQ(lo_flags(other) & IFF_UP, 0);
	// A socket stays where it was made.
	EQ(lo_flags(s) & IFF_UP, IFF_UP);
	OK(setns(net, 0));
	OK(setns(uts, CLONE_NEWUTS));
	EQ(number("self", "net"), first);
	char name[16];
	OK(gethostname(name, sizeof name));
	STREQ(name, "first");
	int f = OK(ioctl(s, SIOCGSKNS));
	struct stat st;
	OK(fstat(f, &st));
	EQ(st.st_ino, first);
	f = OK(ioctl(other, SIOCGSKNS));
	OK(fstat(f, &st));
	CHECK(st.st_ino != first);
}

// child_in starts a process in namespaces of its own, which ends when the returned descriptor is
// closed, and waits until it is there.
static int child_in(int flags, pid_t *pid)
{
	int up[2], down[2];
	char c;
	OK(pipe(up));
	OK(pipe(down));
	*pid = OK(fork());
	if (*pid == 0) {
		OK(close(down[1]));
		OK(unshare(flags));
		OK(write(up[1], "x", 1));
		EQ(read(down[0], &c, 1), 0);
		_exit(0);
	}
	OK(close(down[0]));
	EQ(read(up[0], &c, 1), 1);
	OK(close(up[0]));
	OK(close(up[1]));
	return down[1];
}

CASE(ns_setns_pidfd)
{
	own_user(0);
	pid_t p;
	int end = child_in(CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC, &p), fd = OK(syscall(SYS_pidfd_open, p, 0));
	char name[16];
	snprintf(name, sizeof name, "%d", p);
	unsigned long net = number(name, "net"), uts = number(name, "uts"), ipc = number("self", "ipc");
	ERR(setns(fd, 0), EINVAL);
	ERR(setns(fd, CLONE_NEWNET | CLONE_FS), EINVAL);
	CHECK(number("self", "net") != net);
	// All or none: the user namespace is the caller's own.
	ERR(setns(fd, CLONE_NEWNET | CLONE_NEWUSER), EINVAL);
	CHECK(number("self", "net") != net);
	OK(setns(fd, CLONE_NEWNET | CLONE_NEWUTS));
	EQ(number("self", "net"), net);
	EQ(number("self", "uts"), uts);
	EQ(number("self", "ipc"), ipc);
	OK(close(end));
	REAP(p);
	ERR(setns(fd, CLONE_NEWNET), ESRCH);
}

static void *wait_for_end(void *end)
{
	char c;
	EQ(read(*(int *)end, &c, 1), 0);
	return NULL;
}

CASE(ns_user_needs_one_thread)
{
	int p[2];
	pthread_t thread;
	OK(pipe(p));
	EQ(pthread_create(&thread, NULL, wait_for_end, &p[0]), 0);
	ERR(unshare(CLONE_NEWUSER), EINVAL);
	OK(close(p[1]));
	EQ(pthread_join(thread, NULL), 0);
	WAIT_FOR(unshare(CLONE_NEWUSER) == 0); // a thread that has been joined may still be ending
}

CASE(ns_user_joined)
{
	pid_t p;
	int end = child_in(CLONE_NEWUSER | CLONE_NEWNET, &p);
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/ns/user", p);
	int user = OK(open(path, O_RDONLY));
	snprintf(path, sizeof path, "/proc/%d/ns/net", p);
	int net = OK(open(path, O_RDONLY));
	OK(setns(user, CLONE_NEWUSER));
	OK(setns(net, CLONE_NEWNET));
	int s = OK(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
	OK(lo_up(s));
	OK(close(end));
	REAP(p);
}

static void pid_for_children(void)
{
	int outer = ns_file("pid"), p[2], q[2];
	char c;
	OK(unshare(CLONE_NEWPID));
	OK(pipe(p));
	OK(pipe(q));
	CHILD(one) {
		EQ(getpid(), 1);
		// Process group and session are those of the parent, which are not to be seen.
		EQ(getpgrp(), 0);
		EQ(getsid(0), 0);
		EQ(OK(setsid()), 1);
		EQ(getpgrp(), 1);
		OK(close(p[1]));
		OK(write(q[1], "x", 1));
		EQ(read(p[0], &c, 1), 0);
	}
	EQ(read(q[0], &c, 1), 1);
	CHECK(number("self", "pid_for_children") != number("self", "pid"));
	int inner = OK(open("/proc/self/ns/pid_for_children", O_RDONLY));
	OK(setns(outer, CLONE_NEWPID));
	EQ(number("self", "pid_for_children"), number("self", "pid"));
	CHILD(plain)
		CHECK(getpid() > 1);
	REAP(plain);
	OK(setns(inner, CLONE_NEWPID));
	CHILD(two) {
		EQ(getpid(), 2);
		// A namespace above one's own is out of reach.
		ERR(setns(outer, CLONE_NEWPID), EINVAL);
	}
	REAP(two);
	OK(close(p[1]));
	REAP(one);
	ERR(fork(), ENOMEM);
}

CASE(ns_pid_for_children)
{
	own_user(CLONE_NEWPID | CLONE_NEWNS);
	CHILD(init) {
		OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
		OK(mount("proc", "/proc", "proc", 0, NULL));
		pid_for_children();
	}
	REAP(init);
}

CASE(ns_clone_flags)
{
	own_user(0);
	struct clone_args {
		uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
	} a = {.flags = CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWCGROUP, .exit_signal = SIGCHLD};
	unsigned long net = number("self", "net"), uts = number("self", "uts"), ipc = number("self", "ipc");
	pid_t p = OK(syscall(SYS_clone3, &a, sizeof a));
	if (p == 0) {
		CHECK(number("self", "net") != net);
		CHECK(number("self", "uts") != uts);
		EQ(number("self", "ipc"), ipc);
		_exit(0);
	}
	REAP(p);
	EQ(number("self", "net"), net);
}

CASE(ns_net_is_empty)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "oracle-%d", getpid());
	int listener = OK(socket(AF_UNIX, SOCK_STREAM, 0)), before = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	OK(bind(listener, (void *)&name, sizeof name));
	OK(listen(listener, 5));
	own_user(CLONE_NEWNET);

	// Abstract names are the namespace's own; sockets that are there keep theirs.
	int u = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	ERR(connect(u, (void *)&name, sizeof name), ECONNREFUSED);
	OK(bind(u, (void *)&name, sizeof name));
	OK(connect(before, (void *)&name, sizeof name));

	int s = OK(socket(AF_INET, SOCK_STREAM, 0));
	struct sockaddr_in a = addr(9);
	EQ(lo_flags(s), IFF_LOOPBACK);
	ERR(connect(s, (void *)&a, sizeof a), ENETUNREACH);
	// Before the first address anything can be bound to.
	a = addr(0);
	OK(bind(OK(socket(AF_INET, SOCK_STREAM, 0)), (void *)&a, sizeof a));
	a.sin_addr.s_addr = htonl(0x0a000001);
	OK(bind(OK(socket(AF_INET, SOCK_DGRAM, 0)), (void *)&a, sizeof a));
	OK(lo_up(s));
	EQ(lo_flags(s), IFF_LOOPBACK | IFF_UP | IFF_RUNNING);
	ERR(bind(OK(socket(AF_INET, SOCK_DGRAM, 0)), (void *)&a, sizeof a), EADDRNOTAVAIL);
	a = addr(9);
	ERR(connect(s, (void *)&a, sizeof a), ECONNREFUSED);
	struct ifreq r = {.ifr_name = "lo"};
	OK(ioctl(s, SIOCGIFADDR, &r));
	EQ(((struct sockaddr_in *)&r.ifr_addr)->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	EQ(if_nametoindex("lo"), 1);
	EQ(if_nametoindex("eth0"), 0);
	put("/proc/sys/net/ipv4/ip_local_port_range", "4000 4001");
	struct sockaddr_in b = addr(0);
	int t = OK(socket(AF_INET, SOCK_STREAM, 0));
	OK(bind(t, (void *)&b, sizeof b));
	CHECK(port_of(t) == 4000 || port_of(t) == 4001);
}

CASE(ns_net_privileges)
{
	int s = OK(socket(AF_INET, SOCK_DGRAM, 0));
	own_user(0);
	// The network namespace is not the new user namespace's.
	ERR(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), EPERM);
	ERR(socket(AF_PACKET, SOCK_RAW, 0), EPERM);
	ERR(lo_up(s), EPERM);
	ERR(ioctl(s, SIOCGSKNS), EPERM);
	int mark = 1;
	ERR(setsockopt(s, SOL_SOCKET, SO_MARK, &mark, sizeof mark), EPERM);
	OK(unshare(CLONE_NEWNET));
	OK(close(OK(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP))));
	OK(close(OK(socket(AF_PACKET, SOCK_RAW, 0))));
	int t = OK(socket(AF_INET, SOCK_DGRAM, 0));
	OK(lo_up(t));
	OK(setsockopt(t, SOL_SOCKET, SO_MARK, &mark, sizeof mark));
	ERR(lo_up(s), EPERM);
}

CASE(ns_net_held_by_socket)
{
	int pair[2];
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	CHILD(p) {
		own_user(CLONE_NEWNET);
		int s = OK(socket(AF_INET, SOCK_DGRAM, 0));
		OK(lo_up(s));
		char buf[CMSG_SPACE(sizeof s)] = {0}, c = 0;
		struct iovec v = {&c, 1};
		struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = buf, .msg_controllen = sizeof buf};
		struct cmsghdr *h = CMSG_FIRSTHDR(&m);
		*h = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof s)};
		memcpy(CMSG_DATA(h), &s, sizeof s);
		EQ(sendmsg(pair[1], &m, 0), 1);
	}
	REAP(p);
	char buf[CMSG_SPACE(sizeof(int))], c;
	struct iovec v = {&c, 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = buf, .msg_controllen = sizeof buf};
	EQ(recvmsg(pair[0], &m, 0), 1);
	int s;
	memcpy(&s, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof s);
	EQ(lo_flags(s), IFF_LOOPBACK | IFF_UP | IFF_RUNNING);
	struct sockaddr_in a = addr(0);
	OK(bind(s, (void *)&a, sizeof a));
	a = addr(port_of(s));
	EQ(sendto(s, "self", 4, 0, (void *)&a, sizeof a), 4);
	char text[8];
	EQ(recv(s, text, sizeof text, 0), 4);
}

CASE(ns_bind_mount)
{
	own_user(CLONE_NEWNS);
	OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	OK(close(OK(open("net", O_CREAT | O_WRONLY, 0600))));
	OK(close(OK(open("mnt", O_CREAT | O_WRONLY, 0600))));
	unsigned long outer = number("self", "net"), inner;
	CHILD(p) {
		OK(unshare(CLONE_NEWNET));
		OK(lo_up(OK(socket(AF_INET, SOCK_DGRAM, 0))));
		OK(mount("/proc/self/ns/net", "net", NULL, MS_BIND, NULL));
	}
	REAP(p);
	struct stat s;
	OK(stat("net", &s));
	inner = s.st_ino;
	CHECK(inner != outer);
	ERR(unlink("net"), EBUSY);
	int f = OK(open("net", O_RDONLY));
	ERR(umount("net"), EBUSY);
	OK(umount2("net", MNT_DETACH));
	OK(unlink("net"));
	OK(setns(f, CLONE_NEWNET));
	EQ(number("self", "net"), inner);
	EQ(lo_flags(OK(socket(AF_INET, SOCK_DGRAM, 0))) & IFF_UP, IFF_UP);
	// A mount namespace cannot hold itself.
	ERR(mount("/proc/self/ns/mnt", "mnt", NULL, MS_BIND, NULL), EINVAL);
}

CASE(ns_mount_joined)
{
	own_user(CLONE_NEWNS);
	OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	int outer = ns_file("mnt");
	unsigned long first = number("self", "mnt");
	OK(unshare(CLONE_NEWNS));
	OK(mount("tmpfs", "/tmp", "tmpfs", 0, NULL));
	OK(close(OK(open("/tmp/inside", O_CREAT | O_WRONLY, 0600))));
	int inner = ns_file("mnt");
	OK(setns(outer, CLONE_NEWNS));
	EQ(number("self", "mnt"), first);
	ERR(access("/tmp/inside", F_OK), ENOENT);
	char cwd[8];
	CHECK(getcwd(cwd, sizeof cwd));
	STREQ(cwd, "/");
	OK(setns(inner, 0));
	OK(access("/tmp/inside", F_OK));
}
