// inotify(7).
#include "oracle.h"
#include <sys/inotify.h>
#include <sys/ioctl.h>

static int fd;

// Reads one event; returns its mask and copies the name.
static struct inotify_event next(char *name)
{
	static char b[8192] __attribute__((aligned(8)));
	static int have, at;
	if (at >= have) {
		have = OK(read(fd, b, sizeof b));
		at = 0;
	}
	struct inotify_event e, *p = (void *)(b + at);
	memcpy(&e, p, sizeof e);
	strcpy(name, e.len ? p->name : "");
	at += sizeof e + e.len;
	return e;
}

static void expect(int wd, uint32_t mask, const char *name)
{
	char n[256];
	struct inotify_event e = next(n);
	if (e.wd != wd || e.mask != mask || strcmp(n, name))
		FAILF("event %d %#x \"%s\", want %d %#x \"%s\"", e.wd, e.mask, n, wd, mask, name);
}

CASE(inotify_directory_events)
{
	char b[16];
	OK(mkdir("d", 0755));
	fd = OK(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ERR(read(fd, b, 16), EAGAIN);
	int wd = OK(inotify_add_watch(fd, "d", IN_ALL_EVENTS));
	EQ(wd, 1);
	int f = OK(open("d/f", O_CREAT | O_RDWR, 0644));
	expect(wd, IN_CREATE, "f");
	expect(wd, IN_OPEN, "f");
	EQ(write(f, "x", 1), 1);
	expect(wd, IN_MODIFY, "f");
	EQ(pread(f, b, 1, 0), 1);
	expect(wd, IN_ACCESS, "f");
	OK(fchmod(f, 0600));
	expect(wd, IN_ATTRIB, "f");
	OK(close(f));
	expect(wd, IN_CLOSE_WRITE, "f");
	OK(mkdir("d/sub", 0755));
	expect(wd, IN_CREATE | IN_ISDIR, "sub");
	OK(rename("d/f", "d/g"));
	expect(wd, IN_MOVED_FROM, "f");
	expect(wd, IN_MOVED_TO, "g");
	OK(unlink("d/g"));
	expect(wd, IN_DELETE, "g");
	OK(rmdir("d/sub"));
	expect(wd, IN_DELETE | IN_ISDIR, "sub");
	OK(rmdir("d"));
	expect(wd, IN_DELETE_SELF, "");
	expect(wd, IN_IGNORED, "");
}

CASE(inotify_file_watch_and_removal)
{
	char n[256];
	put_file("f", "x");
	fd = OK(inotify_init1(IN_NONBLOCK));
	int wd = OK(inotify_add_watch(fd, "f", IN_MODIFY | IN_ONESHOT));
	int f = OK(open("f", O_WRONLY));
	EQ(write(f, "a", 1), 1);
	EQ(write(f, "b", 1), 1);
	expect(wd, IN_MODIFY, "");
	expect(wd, IN_IGNORED, "");
	ERR(read(fd, n, 256), EAGAIN);
	int w2 = OK(inotify_add_watch(fd, "f", IN_MODIFY));
	CHECK(w2 != wd);
	OK(inotify_rm_watch(fd, w2));
	expect(w2, IN_IGNORED, "");
	ERR(inotify_rm_watch(fd, w2), EINVAL);
}

CASE(inotify_move_cookie)
{
	char n[256];
	OK(mkdir("a", 0755));
	OK(mkdir("b", 0755));
	put_file("a/f", "x");
	fd = OK(inotify_init1(IN_NONBLOCK));
	int wa = OK(inotify_add_watch(fd, "a", IN_MOVE)), wb = OK(inotify_add_watch(fd, "b", IN_MOVE));
	OK(rename("a/f", "b/g"));
	struct inotify_event from = next(n), to = next(n);
	EQ(from.wd, wa);
	EQ(to.wd, wb);
	CHECK(from.cookie != 0);
	EQ(from.cookie, to.cookie);
	STREQ(n, "g");
}

CASE(inotify_errors)
{
	char b[8];
	put_file("f", "x");
	fd = OK(inotify_init());
	ERR(inotify_add_watch(fd, "none", IN_ALL_EVENTS), ENOENT);
	ERR(inotify_add_watch(fd, "f", 0), EINVAL);
	ERR(inotify_add_watch(fd, "f", IN_ONLYDIR | IN_MODIFY), ENOTDIR);
	ERR(inotify_add_watch(999, "f", IN_MODIFY), EBADF);
	ERR(inotify_add_watch(0, BAD_PTR, IN_MODIFY), EINVAL);
	ERR(inotify_rm_watch(fd, 99), EINVAL);
	ERR(inotify_init1(1), EINVAL);
	OK(inotify_add_watch(fd, "f", IN_MODIFY));
	ERR(inotify_add_watch(fd, "f", IN_MODIFY | IN_MASK_CREATE), EEXIST);
	int f = OK(open("f", O_WRONLY)), n;
	EQ(write(f, "x", 1), 1);
	OK(ioctl(fd, FIONREAD, &n));
	EQ(n, 16);
	ERR(read(fd, b, 8), EINVAL); // no room for an event
}

CASE(inotify_same_events_merge)
{
	char b[1024];
	put_file("f", "x");
	fd = OK(inotify_init1(IN_NONBLOCK));
	OK(inotify_add_watch(fd, "f", IN_MODIFY));
	int f = OK(open("f", O_WRONLY));
	for (int i = 0; i < 5; i++)
		EQ(write(f, "x", 1), 1);
	EQ(read(fd, b, sizeof b), 16);
}

CASE(inotify_poll)
{
	put_file("f", "x");
	fd = OK(inotify_init1(0));
	OK(inotify_add_watch(fd, "f", IN_OPEN));
	struct pollfd p = {fd, POLLIN, 0};
	EQ(poll(&p, 1, 0), 0);
	CHILD(k) {
		msleep(20);
		OK(open("f", O_RDONLY));
	}
	EQ(poll(&p, 1, 15000), 1);
	REAP(k);
}
