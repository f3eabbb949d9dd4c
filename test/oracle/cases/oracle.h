// oracle.h: a case registry and checks for programs that state what Linux does.
//
// A program defines cases with CASE(name) { ... } and nothing else: main() is here.
//
//   prog                lists its cases
//   prog --run NAME     runs one case
//   prog --all          runs every case, in the order of the file
//   prog --after NAME   runs the cases that come after one
//
// Every case runs in a forked child: in a session of its own, default signal
// dispositions, nothing blocked, umask 022, in a fresh empty directory below
// $ORACLE_TMP (or the current directory) that is removed afterwards. It gives one line:
//
//   ok NAME | FAIL NAME: detail | skip NAME: reason
//
// A failing check ends the process that makes it; a check may be made in any thread and
// in forked children. A case that takes longer than 20 s (ORACLE_TIMEOUT) fails.
#ifndef ORACLE_H
#define ORACLE_H

// A signal handler may run during any call, so no call is a "leaf" to the compiler.
#include <sys/cdefs.h>
#undef __LEAF
#undef __LEAF_ATTR
#define __LEAF
#define __LEAF_ATTR

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Descriptor on which a case reports; far above what a case opens, closed on exec.
#define ORACLE_REPORT_FD 200

// A pointer that is never mapped (volatile, so that the compiler does not warn of it).
static void *volatile oracle_bad_ptr = (void *)8;
#define BAD_PTR oracle_bad_ptr

struct oracle_case {
	const char *name;
	void (*run)(void);
	struct oracle_case *next;
};

struct oracle_helper {
	const char *name;
	int (*run)(int argc, char **argv);
	struct oracle_helper *next;
};

static struct oracle_case *oracle_cases, **oracle_cases_tail = &oracle_cases;
static struct oracle_helper *oracle_helpers;

// Absolute path of the program, for cases that execute themselves.
static char self_path[PATH_MAX];

#define CASE(n)                                                              \
	static void case_##n(void);                                          \
	static struct oracle_case case_entry_##n = {#n, case_##n, NULL};     \
	__attribute__((constructor)) static void case_register_##n(void)     \
	{                                                                    \
		*oracle_cases_tail = &case_entry_##n;                        \
		oracle_cases_tail = &case_entry_##n.next;                    \
	}                                                                    \
	static void case_##n(void)

// HELPER(name) { return status; } is what "self_path --helper name args..." runs;
// argv[0] is the helper's name.
#define HELPER(n)                                                            \
	static int helper_##n(int argc, char **argv);                        \
	static struct oracle_helper helper_entry_##n = {#n, helper_##n, NULL}; \
	__attribute__((constructor)) static void helper_register_##n(void)   \
	{                                                                    \
		helper_entry_##n.next = oracle_helpers;                      \
		oracle_helpers = &helper_entry_##n;                          \
	}                                                                    \
	static int helper_##n(int argc __attribute__((unused)),              \
			      char **argv __attribute__((unused)))

__attribute__((noreturn, format(printf, 2, 3)))
static void oracle_report(char kind, const char *fmt, ...)
{
	char buf[800];
	va_list ap;
	buf[0] = kind;
	va_start(ap, fmt);
	int n = vsnprintf(buf + 1, sizeof buf - 2, fmt, ap);
	va_end(ap);
	if (n > (int)sizeof buf - 3)
		n = sizeof buf - 3;
	for (int i = 1; i <= n; i++)
		if (buf[i] == '\n')
			buf[i] = ' ';
	buf[n + 1] = '\n';
	if (write(ORACLE_REPORT_FD, buf, n + 2) < 0)
		_exit(98);
	_exit(kind == 'S' ? 97 : 99);
}

#define ORACLE_STR2(x) #x
#define ORACLE_STR(x) ORACLE_STR2(x)
#define ORACLE_BASE __BASE_FILE__

#define SKIP(...) oracle_report('S', __VA_ARGS__)
#define FAILF(fmt, ...) \
	oracle_report('F', "%s:%d: " fmt, ORACLE_BASE, __LINE__, ##__VA_ARGS__)

// CHECK(e): e must be true.
#define CHECK(e)                                                             \
	do {                                                                 \
		if (!(e)) {                                                  \
			int e_ = errno;                                      \
			FAILF("%s is false (errno %s)", #e, strerrorname_np(e_) ? strerrorname_np(e_) : "?"); \
		}                                                            \
	} while (0)

// EQ(got, want): integers must be equal.
#define EQ(got, want)                                                        \
	({                                                                   \
		long long g_ = (long long)(got);                             \
		int e_ = errno;                                              \
		long long w_ = (long long)(want);                            \
		if (g_ != w_)                                                \
			FAILF("%s is %lld, want %s = %lld (errno %s)", #got, g_, #want, w_, \
			      strerrorname_np(e_) ? strerrorname_np(e_) : "?");  \
		(void)0;                                                     \
	})

// STREQ(got, want): strings must be equal.
#define STREQ(got, want)                                                     \
	do {                                                                 \
		const char *g_ = (got), *w_ = (want);                        \
		if (strcmp(g_, w_) != 0)                                     \
			FAILF("%s is \"%s\", want \"%s\"", #got, g_, w_);    \
	} while (0)

// OK(call): must not return -1; its value is the call's.
#define OK(e)                                                                \
	({                                                                   \
		errno = 0;                                                   \
		__typeof__(e) r_ = (e);                                      \
		if ((long)r_ == -1)                                          \
			FAILF("%s: %s", #e, strerrorname_np(errno) ? strerrorname_np(errno) : "?"); \
		r_;                                                          \
	})

// ERR(call, want): must return -1 with errno want.
#define ERR(e, want)                                                         \
	do {                                                                 \
		errno = 0;                                                   \
		long r_ = (long)(e);                                         \
		int e_ = errno;                                              \
		if (r_ != -1)                                                \
			FAILF("%s returned %ld, want %s", #e, r_, #want);    \
		if (e_ != (want))                                            \
			FAILF("%s: %s, want %s", #e,                         \
			      strerrorname_np(e_) ? strerrorname_np(e_) : "?", #want); \
	} while (0)

// CHILD(p) { ... } runs the block in a forked child, which then exits with 0.
#define CHILD(p)                                                             \
	pid_t p = OK(fork());                                                \
	if (p == 0)                                                          \
		for (;; _exit(0))

// REAP(p): child p must exit with 0. REAP_EXIT, REAP_SIGNAL: with that code, by that signal.
#define REAP(p) REAP_EXIT(p, 0)
#define REAP_EXIT(p, code)                                                   \
	do {                                                                 \
		int st_ = oracle_reap((p), __LINE__);                        \
		if (!WIFEXITED(st_) || WEXITSTATUS(st_) != (code))           \
			FAILF("a child's status is 0x%x, want exit %d", st_, (int)(code)); \
	} while (0)
#define REAP_SIGNAL(p, sig)                                                  \
	do {                                                                 \
		int st_ = oracle_reap((p), __LINE__);                        \
		if (!WIFSIGNALED(st_) || WTERMSIG(st_) != (sig))             \
			FAILF("a child's status is 0x%x, want signal %d", st_, (int)(sig)); \
	} while (0)

__attribute__((unused)) static int oracle_reap(pid_t p, int line)
{
	int st = -1;
	pid_t r = waitpid(p, &st, 0);
	if (r != p)
		oracle_report('F', "%s:%d: waitpid of a child: %s", ORACLE_BASE, line,
			      r < 0 ? strerrorname_np(errno) : "another child");
	return st;
}

// WAIT_FOR(e): polls until e is true, for at most 15 s.
#define WAIT_FOR(e)                                                          \
	do {                                                                 \
		long long t_ = now_ms() + 15000;                             \
		while (!(e)) {                                               \
			if (now_ms() > t_)                                   \
				FAILF("%s did not become true", #e);         \
			msleep(1);                                           \
		}                                                            \
	} while (0)

__attribute__((unused)) static long long now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

__attribute__((unused)) static void msleep(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};
	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

// Makes a file with the given content.
__attribute__((unused)) static void put_file(const char *path, const char *content)
{
	int fd = OK(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644));
	EQ(write(fd, content, strlen(content)), strlen(content));
	OK(close(fd));
}

// Reads a whole file into buf as a string, whatever number of reads it takes.
__attribute__((unused)) static int get_file(const char *path, char *buf, int size)
{
	int fd = OK(open(path, O_RDONLY)), n = 0;
	for (;;) {
		int r = OK(read(fd, buf + n, size - 1 - n));
		n += r;
		if (r == 0 || n == size - 1)
			break;
	}
	buf[n] = 0;
	OK(close(fd));
	return n;
}

// Copies this program to a file that everybody may execute: where the program itself
// lies need not be accessible to other users.
__attribute__((unused)) static void copy_self(const char *to)
{
	char b[65536];
	int in = OK(open(self_path, O_RDONLY)), out = OK(open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755)), n;
	while ((n = OK(read(in, b, sizeof b))) > 0)
		EQ(write(out, b, n), n);
	OK(close(in));
	OK(close(out));
}

// Gives up every privilege: uid and gid 65534, no groups, no capabilities.
__attribute__((unused)) static void become_nobody(void)
{
	OK(syscall(SYS_setgroups, 0, NULL));
	OK(syscall(SYS_setresgid, 65534, 65534, 65534));
	OK(syscall(SYS_setresuid, 65534, 65534, 65534));
}

// Becomes a user who most likely has no other process: for limits that count per user.
__attribute__((unused)) static void become_fresh_user(void)
{
	unsigned short r = 0;
	OK(syscall(SYS_getrandom, &r, sizeof r, 0));
	uid_t u = 20000 + r % 40000;
	OK(syscall(SYS_setresuid, u, u, u));
}

__attribute__((unused)) static void set_handler(int sig, void (*h)(int), int flags)
{
	struct sigaction sa = {.sa_handler = h, .sa_flags = flags};
	OK(sigaction(sig, &sa, NULL));
}

// Ticks: SIGALRM every 20 ms, counted; flags are sigaction's (SA_RESTART or 0).
static volatile sig_atomic_t ticks;

__attribute__((unused)) static void on_tick(int sig)
{
	(void)sig;
	ticks++;
}

__attribute__((unused)) static void start_ticks(int flags)
{
	set_handler(SIGALRM, on_tick, flags);
	struct itimerval it = {{0, 20000}, {0, 20000}};
	OK(setitimer(ITIMER_REAL, &it, NULL));
}

__attribute__((unused)) static void stop_ticks(void)
{
	struct itimerval it = {{0, 0}, {0, 0}};
	OK(setitimer(ITIMER_REAL, &it, NULL));
}

static int oracle_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)ftw;
	return type == FTW_DP ? rmdir(path) : unlink(path);
}

static void oracle_child(struct oracle_case *c, const char *dir)
{
	if (setsid() < 0)
		_exit(96);
	// By the raw calls: the C library keeps two real-time signals for itself, and
	// whoever started the suite may have left those ignored or blocked.
	char dfl[32] = {0}; // the kernel's struct sigaction, SIG_DFL
	unsigned long none = 0;
	for (int s = 1; s < 65; s++)
		syscall(SYS_rt_sigaction, s, dfl, NULL, sizeof none);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
	umask(022);
	if (mkdir(dir, 0777) < 0)
		oracle_report('F', "mkdir of the case's directory: %s", strerrorname_np(errno));
	chmod(dir, 0777);
	if (chdir(dir) < 0)
		oracle_report('F', "chdir to the case's directory: %s", strerrorname_np(errno));
	c->run();
	_exit(0);
}

// Runs one case and prints its verdict; 1 if it failed.
static int oracle_run(struct oracle_case *c)
{
	char dir[PATH_MAX], line[1200], msg[1000];
	const char *base = getenv("ORACLE_TMP"), *limit = getenv("ORACLE_TIMEOUT");
	char cwd[PATH_MAX - 200];
	if (!base || !*base)
		base = getcwd(cwd, sizeof cwd) ? cwd : "/tmp";
	snprintf(dir, sizeof dir, "%s/%s.%d", base, c->name, (int)getpid());
	long long end = now_ms() + 1000LL * (limit ? atoi(limit) : 20);
	int p[2], status = 0, late = 0;
	if (pipe2(p, O_NONBLOCK) < 0) {
		dprintf(1, "FAIL %s: pipe2: %s\n", c->name, strerrorname_np(errno));
		return 1;
	}
	pid_t pid = fork();
	if (pid < 0) {
		dprintf(1, "FAIL %s: fork: %s\n", c->name, strerrorname_np(errno));
		return 1;
	}
	if (pid == 0) {
		close(p[0]);
		dup3(p[1], ORACLE_REPORT_FD, O_CLOEXEC);
		close(p[1]);
		oracle_child(c, dir);
	}
	close(p[1]);
	long delay = 100000;
	for (;;) {
		pid_t r = waitpid(-1, &status, WNOHANG); // as pid 1 it reaps orphans too
		if (r == pid || r < 0)
			break;
		if (r > 0)
			continue;
		if (now_ms() > end && !late) {
			late = 1;
			kill(pid, SIGKILL);
			end += 5000;
		} else if (now_ms() > end) {
			break; // does not die either
		}
		struct timespec ts = {0, delay};
		nanosleep(&ts, NULL);
		if (delay < 5000000)
			delay += delay / 4;
	}
	kill(-pid, SIGKILL);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	int n = 0, r;
	while (n < (int)sizeof msg - 1 && (r = read(p[0], msg + n, sizeof msg - 1 - n)) > 0)
		n += r;
	close(p[0]);
	msg[n > 0 ? n : 0] = 0;
	if (strchr(msg, '\n'))
		*strchr(msg, '\n') = 0;
	int failed = 1;
	if (late)
		snprintf(line, sizeof line, "FAIL %s: timed out\n", c->name);
	else if (msg[0] == 'S')
		snprintf(line, sizeof line, "skip %s: %s\n", c->name, msg + 1), failed = 0;
	else if (msg[0] == 'F')
		snprintf(line, sizeof line, "FAIL %s: %s\n", c->name, msg + 1);
	else if (WIFSIGNALED(status))
		snprintf(line, sizeof line, "FAIL %s: killed by signal %d\n", c->name, WTERMSIG(status));
	else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		snprintf(line, sizeof line, "FAIL %s: wait status 0x%x\n", c->name, status);
	else
		snprintf(line, sizeof line, "ok %s\n", c->name), failed = 0;
	if (write(1, line, strlen(line)) < 0)
		failed = 1;
	nftw(dir, oracle_remove, 16, FTW_DEPTH | FTW_PHYS);
	return failed;
}

int main(int argc, char **argv)
{
	ssize_t n = readlink("/proc/self/exe", self_path, sizeof self_path - 1);
	if (n < 0)
		snprintf(self_path, sizeof self_path, "%s", argv[0]);
	if (argc > 2 && !strcmp(argv[1], "--helper")) {
		for (struct oracle_helper *h = oracle_helpers; h; h = h->next)
			if (!strcmp(h->name, argv[2]))
				return h->run(argc - 2, argv + 2);
		return 127;
	}
	if (argc < 2) {
		for (struct oracle_case *c = oracle_cases; c; c = c->next)
			dprintf(1, "%s\n", c->name);
		return 0;
	}
	int all = !strcmp(argv[1], "--all"), after = !strcmp(argv[1], "--after"), failed = 0, found = all;
	if (!all && ((!after && strcmp(argv[1], "--run")) || argc != 3)) {
		dprintf(2, "usage: %s [--all | --run NAME | --after NAME]\n", argv[0]);
		return 2;
	}
	for (struct oracle_case *c = oracle_cases; c; c = c->next) {
		int named = !all && !strcmp(c->name, argv[2]);
		if (all || (named && !after))
			failed |= oracle_run(c);
		found |= named;
		all |= named && after;
	}
	if (!found) {
		dprintf(2, "%s: no case named %s\n", argv[0], argv[2]);
		return 2;
	}
	return failed;
}

#endif
