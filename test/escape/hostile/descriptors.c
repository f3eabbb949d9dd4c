// Descriptors that a process of root opens with few rights and gives to one of
// nobody: what it can make of them.
#include "hostile.h"
#include <linux/openat2.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>

static void give(int sock, const int *fds, int n) {
	char c[CMSG_SPACE(32 * sizeof(int))] = {0}, b = 0;
	struct iovec v = {&b, 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = c, .msg_controllen = CMSG_SPACE(n * sizeof(int))};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	h->cmsg_level = SOL_SOCKET, h->cmsg_type = SCM_RIGHTS, h->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(h), fds, n * sizeof(int));
	if (sendmsg(sock, &m, 0) != 1) fail("sendmsg");
}

static int take(int sock, int *fds, int n) {
	char c[CMSG_SPACE(32 * sizeof(int))] = {0}, b;
	struct iovec v = {&b, 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = c, .msg_controllen = sizeof c};
	if (recvmsg(sock, &m, 0) != 1) fail("recvmsg");
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	if (!h || h->cmsg_len != CMSG_LEN(n * sizeof(int))) fail("no descriptors came");
	memcpy(fds, CMSG_DATA(h), n * sizeof(int));
	return n;
}

// What root gives away.
enum { SECRET_PATH, PUBLIC_READ, PUBLIC_PATH, PUBLIC_APPEND, SEALED, LOCKED_DIR, FIXED, FIXED_DIR, HOLDER, EXEC_ONLY, N };

static const char *const dirs[] = {"/tmp/own", "/shared/own"}; // tmp is of the root file system, shared of a bind mount
static pid_t holder;

static void name_of(int fd, char *name) { sprintf(name, "/proc/self/fd/%d", fd); }

static void reopen(int fd, int flags, const char *what) {
	char name[64];
	name_of(fd, name);
	int got = open(name, flags | O_NONBLOCK);
	if (got >= 0) {
		gained("%s: open of %s with %#x", what, name, flags);
		close(got);
	}
	sprintf(name, "/dev/fd/%d", fd);
	if ((got = open(name, flags | O_NONBLOCK)) >= 0) gained("%s: open of %s with %#x", what, name, flags), close(got);
	struct open_how how = {.flags = flags | O_NONBLOCK};
	name_of(fd, name);
	if ((got = syscall(SYS_openat2, AT_FDCWD, name, &how, sizeof how)) >= 0) gained("%s: openat2 with %#x", what, flags), close(got);
	if ((got = openat(fd, "", flags)) >= 0) gained("%s: openat of nothing with %#x", what, flags), close(got);
}

static void change(int fd, const char *what) {
	char name[64];
	name_of(fd, name);
	struct timespec times[2] = {{1, 0}, {1, 0}};
	if (fchmod(fd, 0777) == 0) gained("%s: fchmod", what);
	if (fchown(fd, 65534, 65534) == 0) gained("%s: fchown", what);
	if (chmod(name, 0777) == 0) gained("%s: chmod", what);
	if (chown(name, 65534, 65534) == 0) gained("%s: chown", what);
	if (fchownat(fd, "", 65534, 65534, AT_EMPTY_PATH) == 0) gained("%s: fchownat", what);
	if (syscall(452 /* fchmodat2 */, fd, "", 0777, AT_EMPTY_PATH) == 0) gained("%s: fchmodat2", what);
	if (ftruncate(fd, 0) == 0) gained("%s: ftruncate", what);
	if (truncate(name, 0) == 0) gained("%s: truncate", what);
	if (futimens(fd, times) == 0) gained("%s: futimens", what);
	if (utimensat(AT_FDCWD, name, times, 0) == 0) gained("%s: utimensat", what);
	if (fallocate(fd, 0, 0, 100) == 0) gained("%s: fallocate", what);
	if (fsetxattr(fd, "user.x", "y", 1, 0) == 0) gained("%s: fsetxattr", what);
	if (setxattr(name, "user.x", "y", 1, 0) == 0) gained("%s: setxattr", what);
	if (pwrite(fd, "x", 1, 0) == 1) gained("%s: pwrite", what);
	struct iovec v = {"x", 1};
	if (pwritev(fd, &v, 1, 0) == 1) gained("%s: pwritev", what);
	int p[2];
	pipe(p), write(p[1], "xxxx", 4);
	if (splice(p[0], NULL, fd, NULL, 4, SPLICE_F_NONBLOCK) > 0) gained("%s: splice to it", what);
	close(p[0]), close(p[1]);
	int own = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	if (own >= 0) {
		write(own, "xxxx", 4), lseek(own, 0, SEEK_SET);
		if (sendfile(fd, own, NULL, 4) > 0) gained("%s: sendfile to it", what);
		if (copy_file_range(own, &(off_t){0}, fd, &(off_t){0}, 4, 0) > 0) gained("%s: copy_file_range to it", what);
		close(own);
	}
	char *m = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m != MAP_FAILED) gained("%s: a writable mapping", what);
	m = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	if (m != MAP_FAILED) {
		if (mprotect(m, PAGE, PROT_READ | PROT_WRITE) == 0) gained("%s: a mapping made writable", what);
		struct iovec to = {m, 1};
		if (process_vm_writev(getpid(), &v, 1, &to, 1, 0) == 1) gained("%s: process_vm_writev to a mapping", what);
		int mem = open("/proc/self/mem", O_RDWR);
		if (mem >= 0 && pwrite(mem, "x", 1, (off_t)(uintptr_t)m) == 1 && pread(fd, &(char){0}, 1, 0) == 1) {
			char c = 0;
			pread(fd, &c, 1, 0);
			if (c == 'x') gained("%s: /proc/self/mem changes the file", what);
		}
		close(mem), munmap(m, PAGE);
	}
	fcntl(fd, F_SETFL, O_RDWR | O_APPEND);
	if (write(fd, "x", 1) == 1) gained("%s: write after F_SETFL", what);
	int d = dup3(fd, 60, 0);
	if (d >= 0 && write(d, "x", 1) == 1) gained("%s: write to a copy", what);
	close(d);
}

static void unreadable(int fd, const char *what) {
	char b[16], name[64];
	name_of(fd, name);
	if (read(fd, b, 1) >= 0) gained("%s: read", what);
	if (pread(fd, b, 1, 0) >= 0) gained("%s: pread", what);
	if (mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED) gained("%s: mmap", what);
	int p[2];
	pipe(p);
	if (splice(fd, &(loff_t){0}, p[1], NULL, 4, 0) >= 0) gained("%s: splice from it", what);
	if (sendfile(p[1], fd, &(off_t){0}, 4) >= 0) gained("%s: sendfile from it", what);
	close(p[0]), close(p[1]);
	reopen(fd, O_RDONLY, what);
	char *args[] = {"x", NULL};
	pid_t pid = fork();
	if (pid == 0) execv(name, args), syscall(SYS_execveat, fd, "", args, NULL, AT_EMPTY_PATH), _exit(111);
	int status;
	waitpid(pid, &status, 0);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 111) gained("%s: execve", what);
}

static void nobody(int sock) {
	attempting = 1;
	if (setgid(65534) || setuid(65534)) fail("setuid");
	for (size_t i = 0; i < COUNT(dirs); i++) {
		int fd[N];
		take(sock, fd, N);
		unreadable(fd[SECRET_PATH], "an O_PATH descriptor of a secret file");
		reopen(fd[SECRET_PATH], O_RDWR, "an O_PATH descriptor of a secret file");
		change(fd[SECRET_PATH], "an O_PATH descriptor of a secret file");
		static const int more[] = {O_RDWR, O_WRONLY, O_WRONLY | O_APPEND, O_RDONLY | O_TRUNC, O_RDWR | O_CREAT};
		for (size_t m = 0; m < COUNT(more); m++) {
			reopen(fd[PUBLIC_READ], more[m], "a descriptor to read");
			reopen(fd[PUBLIC_PATH], more[m], "an O_PATH descriptor");
			reopen(fd[PUBLIC_APPEND], more[m], "a descriptor to append");
			reopen(fd[FIXED], more[m], "a descriptor on a read-only mount");
		}
		change(fd[PUBLIC_READ], "a descriptor to read");
		change(fd[PUBLIC_PATH], "an O_PATH descriptor");
		change(fd[FIXED], "a descriptor on a read-only mount");
		unreadable(fd[EXEC_ONLY], "an O_PATH descriptor of a program that only root may execute");
		if (pwrite(fd[SEALED], "x", 1, 0) == 1) gained("a sealed memfd can be written");
		char name[64];
		name_of(fd[SEALED], name);
		int again = open(name, O_RDWR);
		if (again >= 0 && pwrite(again, "x", 1, 0) == 1) gained("a sealed memfd can be written when opened again");
		if (again >= 0 && fcntl(again, F_ADD_SEALS, 0) == 0) gained("a memfd sealed against seals takes more");
		// Directories.
		if (openat(fd[LOCKED_DIR], "inside", O_RDONLY) >= 0) gained("a file in a directory that may not be searched");
		if (openat(fd[LOCKED_DIR], ".", O_RDONLY) >= 0) gained("a directory that may not be read");
		if (openat(fd[LOCKED_DIR], "new", O_CREAT | O_RDWR, 0600) >= 0) gained("a new file in a directory of root");
		if (fchdir(fd[LOCKED_DIR]) == 0) gained("fchdir to a directory that may not be searched");
		if (unlinkat(fd[LOCKED_DIR], "inside", 0) == 0) gained("unlinkat");
		if (linkat(fd[SECRET_PATH], "", AT_FDCWD, "/tmp/secret-link", AT_EMPTY_PATH) == 0) gained("linkat of a secret file");
		if (openat(fd[FIXED_DIR], "new", O_CREAT | O_RDWR, 0600) >= 0) gained("a new file on a read-only mount");
		if (openat(fd[FIXED_DIR], "../new", O_CREAT | O_RDWR, 0600) >= 0) gained("a new file beside a read-only mount");
		if (mkdirat(fd[FIXED_DIR], "new", 0700) == 0) gained("a new directory on a read-only mount");
		// The descriptor of a process.
		siginfo_t info = {.si_signo = SIGKILL, .si_code = SI_QUEUE};
		if (syscall(SYS_pidfd_send_signal, fd[HOLDER], SIGKILL, NULL, 0) == 0) gained("pidfd_send_signal");
		if (syscall(SYS_pidfd_send_signal, fd[HOLDER], SIGKILL, &info, 0) == 0) gained("pidfd_send_signal with a siginfo");
		for (int k = 0; k < 16; k++) {
			int got = syscall(SYS_pidfd_getfd, fd[HOLDER], k, 0);
			if (got >= 0) gained("pidfd_getfd of %d", k), close(got);
		}
		if (setns(fd[HOLDER], 0x20000 /* CLONE_NEWNS */) == 0) gained("setns to a pidfd");
		if (syscall(SYS_process_madvise, fd[HOLDER], &(struct iovec){(void *)0x10000, PAGE}, 1, 4, 0) > 0) gained("process_madvise");
		if (syscall(448 /* process_mrelease */, fd[HOLDER], 0) == 0) gained("process_mrelease");
		siginfo_t w;
		if (waitid(3 /* P_PIDFD */, fd[HOLDER], &w, WEXITED | WNOHANG) == 0) gained("waitid for what is no child");
		for (int k = 0; k < N; k++) close(fd[k]);
	}
	// What came from the host: not more than was given.
	for (int k = 0; k < 3; k++) {
		char name[64];
		name_of(k, name);
		int fl = fcntl(k, F_GETFL);
		if ((fl & O_ACCMODE) == O_WRONLY) {
			int got = open(name, O_RDONLY | O_NONBLOCK);
			char b[64];
			if (got >= 0 && read(got, b, sizeof b) > 0) gained("what others write to standard descriptor %d can be read", k);
		}
		if (ioctl(k, 0x5412 /* TIOCSTI */, "x") == 0) gained("TIOCSTI on %d", k);
	}
	// A descriptor that is gone while it is under way does not become another.
	int s[2], p[2];
	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	for (int i = 0; i < 200; i++) {
		pipe(p);
		give(s[0], p, 2);
		close(p[0]), close(p[1]);
		int other = open("/dev/null", O_RDWR), got[2];
		take(s[1], got, 2);
		if (write(got[1], "x", 1) != 1 || read(got[0], &(char){0}, 1) != 1) gained("the descriptors in a message have become others");
		close(got[0]), close(got[1]), close(other);
	}
	_exit(0);
}

static int need(int fd, const char *what) {
	if (fd < 0) fail(what);
	return fd;
}

int main(void) {
	umask(0);
	int sock[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sock)) fail("socketpair");
	holder = fork();
	if (holder == 0) for (;;) pause();
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) nobody(sock[1]);
	for (size_t i = 0; i < COUNT(dirs); i++) {
		int fd[N];
		if (mkdir(dirs[i], 0755) || chdir(dirs[i])) fail(dirs[i]);
		close(need(open("secret", O_CREAT | O_RDWR, 0600), "secret"));
		int f = need(open("public", O_CREAT | O_RDWR, 0644), "public");
		write(f, "public", 6), close(f);
		mkdir("locked", 0700);
		close(need(open("locked/inside", O_CREAT | O_RDWR, 0666), "inside"));
		f = need(open("program", O_CREAT | O_WRONLY, 0700), "program");
		write(f, "#!/bin/sh\n", 10), close(f);
		fd[SECRET_PATH] = need(open("secret", O_PATH), "secret");
		fd[PUBLIC_READ] = need(open("public", O_RDONLY), "public");
		fd[PUBLIC_PATH] = need(open("public", O_PATH), "public");
		fd[PUBLIC_APPEND] = need(open("public", O_WRONLY | O_APPEND), "public");
		fd[SEALED] = need(memfd_create("sealed", MFD_ALLOW_SEALING), "memfd");
		write(fd[SEALED], "sealed", 6);
		fcntl(fd[SEALED], F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
		fd[LOCKED_DIR] = need(open("locked", O_PATH), "locked");
		fd[FIXED] = need(open("/hostile/descriptors", O_RDONLY), "program");
		fd[FIXED_DIR] = need(open("/hostile", O_RDONLY), "directory");
		fd[HOLDER] = need(syscall(SYS_pidfd_open, holder, 0), "pidfd");
		fd[EXEC_ONLY] = need(open("program", O_PATH), "program");
		give(sock[0], fd, N);
		for (int k = 0; k < N; k++) close(fd[k]);
	}
	int status;
	waitpid(pid, &status, 0);
	if (status != 0) printf("nobody ends with %x\n", status), fflush(stdout), _exit(1);
	// Root itself on the read-only mount.
	int fd = need(open("/hostile/descriptors", O_RDONLY), "program");
	reopen(fd, O_RDWR, "a read-only mount, as root");
	change(fd, "a read-only mount, as root");
	if (kill(holder, 0)) gained("the holder is dead");
	kill(holder, SIGKILL);
	return survived();
}
