// fork(2), vfork(2), clone(2), clone3(2), exit(2), process attributes that are inherited.
#include "oracle.h"
#include <linux/sched.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

CASE(fork_basic)
{
	int v = 1;
	pid_t me = getpid();
	CHILD(k) {
		CHECK(getpid() != me);
		EQ(getppid(), me);
		EQ(gettid(), getpid());
		v = 2;
		_exit(v + 10);
	}
	REAP_EXIT(k, 12);
	EQ(v, 1);
}

CASE(fork_copies_memory)
{
	size_t n = 1 << 20;
	char *m = OK(mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	memset(m, 'a', n);
	int p[2], q[2];
	char b;
	OK(pipe(p));
	OK(pipe(q));
	CHILD(k) {
		EQ(read(p[0], &b, 1), 1); // after the parent has written
		for (size_t i = 0; i < n; i += 4096)
			EQ(m[i], 'a');
		memset(m, 'c', n);
		EQ(write(q[1], "x", 1), 1);
	}
	memset(m, 'p', n);
	EQ(write(p[1], "x", 1), 1);
	EQ(read(q[0], &b, 1), 1);
	for (size_t i = 0; i < n; i += 4096)
		EQ(m[i], 'p');
	REAP(k);
}

CASE(fork_chain_and_tree)
{
	CHILD(k) {
		for (int depth = 0; depth < 10; depth++) {
			pid_t c = OK(fork());
			if (c) {
				int st;
				EQ(waitpid(c, &st, 0), c);
				CHECK(WIFEXITED(st));
				_exit(WEXITSTATUS(st) + 1);
			}
		}
		_exit(0);
	}
	REAP_EXIT(k, 10);
}

CASE(fork_many_children)
{
	pid_t p[50];
	for (int i = 0; i < 50; i++) {
		CHILD(k) {
			_exit(i);
		}
		p[i] = k;
	}
	for (int i = 49; i >= 0; i--)
		REAP_EXIT(p[i], i);
	ERR(wait(NULL), ECHILD);
}

CASE(fork_inherits_attributes)
{
	OK(setpriority(PRIO_PROCESS, 0, 19));
	umask(031);
	OK(prctl(PR_SET_NAME, "parentname"));
	OK(chdir("/"));
	struct rlimit rl = {100, 100}, got;
	OK(setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}));
	OK(setrlimit(RLIMIT_NOFILE, &rl));
	pid_t pg = getpgrp(), sid = getsid(0);
	struct itimerval it = {{0, 0}, {100, 0}};
	OK(setitimer(ITIMER_REAL, &it, NULL));
	CHILD(k) {
		char name[16], cwd[16];
		OK(prctl(PR_GET_NAME, name));
		STREQ(name, "parentname");
		EQ(getpriority(PRIO_PROCESS, 0), 19);
		EQ(umask(0), 031);
		CHECK(getcwd(cwd, 16));
		STREQ(cwd, "/");
		OK(getrlimit(RLIMIT_NOFILE, &got));
		EQ(got.rlim_cur, 100);
		EQ(getpgrp(), pg);
		EQ(getsid(0), sid);
		OK(getitimer(ITIMER_REAL, &it)); // timers are not inherited
		EQ(it.it_value.tv_sec, 0);
	}
	REAP(k);
}

CASE(vfork_parent_waits)
{
	static volatile int v;
	pid_t k = vfork();
	if (k == 0) {
		for (int i = 0; i < 50; i++) {
			struct timespec ts = {0, 1000000};
			syscall(SYS_nanosleep, &ts, NULL);
		}
		v = 7;
		_exit(3);
	}
	EQ(v, 7); // memory is shared and the child came first
	REAP_EXIT(k, 3);
}

HELPER(exit17)
{
	return 17;
}

CASE(vfork_exec)
{
	pid_t k = vfork();
	if (k == 0) {
		execl(self_path, "x", "--helper", "exit17", NULL);
		_exit(1);
	}
	REAP_EXIT(k, 17);
}

CASE(vfork_child_killed_releases_parent)
{
	pid_t k = vfork();
	if (k == 0) {
		kill(getpid(), SIGKILL);
		_exit(1);
	}
	REAP_SIGNAL(k, SIGKILL);
}

static char child_stack[65536] __attribute__((aligned(16)));

static int clone_child(void *arg)
{
	*(int *)arg += 1;
	return 5;
}

CASE(clone_vm_shares_memory)
{
	int v = 1;
	pid_t k = OK(clone(clone_child, child_stack + sizeof child_stack, CLONE_VM | SIGCHLD, &v));
	REAP_EXIT(k, 5);
	EQ(v, 2);
	k = OK(clone(clone_child, child_stack + sizeof child_stack, SIGCHLD, &v));
	REAP_EXIT(k, 5);
	EQ(v, 2);
}

CASE(clone_flag_errors)
{
	ERR(syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, child_stack + 60000, NULL, NULL, 0), EINVAL);
	ERR(syscall(SYS_clone, CLONE_THREAD | CLONE_VM, child_stack + 60000, NULL, NULL, 0), EINVAL);
	ERR(syscall(SYS_clone, CLONE_FS | CLONE_NEWNS | SIGCHLD, child_stack + 60000, NULL, NULL, 0), EINVAL);
}

CASE(clone_tid_pointers)
{
	int ptid = 0, ctid = 0;
	pid_t k = OK(syscall(SYS_clone, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD, NULL, &ptid, &ctid, 0));
	if (k == 0) {
		CHECK(ctid == (int)syscall(SYS_getpid));
		_exit(0);
	}
	EQ(ptid, k);
	EQ(ctid, 0); // written in the child's copy
	REAP(k);
}

CASE(clone_parent_makes_sibling)
{
	pid_t me = getpid();
	int p[2], grandchild;
	OK(pipe(p));
	CHILD(k) {
		pid_t g = OK(syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, 0));
		if (g == 0) {
			EQ(getppid(), me);
			_exit(8);
		}
		EQ(write(p[1], &g, sizeof g), sizeof g);
	}
	REAP(k);
	EQ(read(p[0], &grandchild, sizeof grandchild), sizeof grandchild);
	REAP_EXIT(grandchild, 8);
}

static volatile sig_atomic_t seen;
static void on_exit_signal(int s)
{
	seen = s;
}

CASE(clone_exit_signal)
{
	set_handler(SIGUSR1, on_exit_signal, 0);
	pid_t k = OK(syscall(SYS_clone, SIGUSR1, NULL, NULL, NULL, 0));
	if (k == 0)
		_exit(0);
	ERR(waitpid(k, NULL, WNOHANG), ECHILD); // needs __WALL or __WCLONE
	int st;
	pid_t r;
	while ((r = waitpid(k, &st, __WALL)) < 0)
		EQ(errno, EINTR);
	EQ(r, k);
	EQ(seen, SIGUSR1);
	k = OK(syscall(SYS_clone, 0, NULL, NULL, NULL, 0));
	if (k == 0)
		_exit(4);
	EQ(waitpid(k, &st, __WCLONE), k);
	EQ(WEXITSTATUS(st), 4);
}

CASE(clone3_basic)
{
	int pidfd = -1, ptid = 0;
	struct clone_args a = {.flags = CLONE_PIDFD | CLONE_PARENT_SETTID, .pidfd = (uintptr_t)&pidfd,
			       .parent_tid = (uintptr_t)&ptid, .exit_signal = SIGCHLD};
	pid_t k = OK(syscall(SYS_clone3, &a, sizeof a));
	if (k == 0)
		_exit(6);
	EQ(ptid, k);
	EQ(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
	struct pollfd p = {pidfd, POLLIN, 0};
	EQ(poll(&p, 1, 15000), 1);
	siginfo_t si;
	OK(waitid(P_PIDFD, pidfd, &si, WEXITED));
	EQ(si.si_status, 6);
	EQ(si.si_pid, k);
}

CASE(clone3_errors)
{
	struct clone_args a = {.exit_signal = SIGCHLD};
	ERR(syscall(SYS_clone3, &a, 8), EINVAL);
	ERR(syscall(SYS_clone3, &a, 100000), E2BIG);
	ERR(syscall(SYS_clone3, BAD_PTR, sizeof a), EFAULT);
	a.exit_signal = 65;
	ERR(syscall(SYS_clone3, &a, sizeof a), EINVAL);
	a.exit_signal = SIGCHLD;
	a.stack = (uintptr_t)child_stack; // a stack without a size
	ERR(syscall(SYS_clone3, &a, sizeof a), EINVAL);
	a.stack = 0;
	a.flags = CLONE_SIGHAND;
	ERR(syscall(SYS_clone3, &a, sizeof a), EINVAL);
	a.flags = CLONE_DETACHED;
	ERR(syscall(SYS_clone3, &a, sizeof a), EINVAL);
}

CASE(clone_clear_sighand)
{
	set_handler(SIGUSR1, on_exit_signal, 0);
	signal(SIGUSR2, SIG_IGN);
	struct clone_args a = {.flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD};
	pid_t k = OK(syscall(SYS_clone3, &a, sizeof a));
	if (k == 0) {
		struct sigaction sa;
		OK(sigaction(SIGUSR1, NULL, &sa));
		CHECK(sa.sa_handler == SIG_DFL);
		OK(sigaction(SIGUSR2, NULL, &sa));
		CHECK(sa.sa_handler == SIG_IGN);
		_exit(0);
	}
	REAP(k);
}

CASE(clone_fs_shares_cwd_and_umask)
{
	OK(mkdir("d", 0755));
	pid_t k = OK(syscall(SYS_clone, CLONE_FS | SIGCHLD, NULL, NULL, NULL, 0));
	if (k == 0) {
		OK(chdir("d"));
		umask(011);
		_exit(0);
	}
	REAP(k);
	EQ(umask(0), 011);
	char b[PATH_MAX];
	CHECK(getcwd(b, sizeof b));
	STREQ(strrchr(b, '/'), "/d");
}

CASE(unshare_files_and_fs)
{
	OK(unshare(CLONE_FILES));
	OK(unshare(CLONE_FS));
	OK(unshare(CLONE_SYSVSEM));
	ERR(unshare(CLONE_DETACHED), EINVAL);
}

CASE(orphan_gets_new_parent)
{
	int p[2], q[2];
	char b;
	pid_t me = getpid(), nr;
	OK(pipe(p));
	OK(pipe(q));
	CHILD(k) {
		if (OK(fork()) == 0) {
			EQ(read(p[0], &b, 1), 1); // the parent is dead and reaped
			nr = getppid();
			EQ(write(q[1], &nr, sizeof nr), sizeof nr);
			_exit(0);
		}
	}
	REAP(k);
	EQ(write(p[1], "x", 1), 1);
	EQ(read(q[0], &nr, sizeof nr), sizeof nr);
	CHECK(nr != k);
	CHECK(nr != me);
}

CASE(child_subreaper_adopts)
{
	int v = 0;
	OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
	OK(prctl(PR_GET_CHILD_SUBREAPER, &v));
	EQ(v, 1);
	CHILD(k) {
		if (OK(fork()) == 0) {
			WAIT_FOR(getppid() != k);
			_exit(21);
		}
	}
	int st;
	EQ(waitpid(k, &st, 0), k);
	EQ(st, 0);
	pid_t g = OK(wait(&st));
	CHECK(g != k);
	EQ(WEXITSTATUS(st), 21);
}

CASE(parent_death_signal)
{
	int p[2], sig;
	char b;
	OK(pipe(p));
	CHILD(k) {
		int ready[2];
		OK(pipe(ready));
		if (OK(fork()) == 0) {
			sigset_t s;
			sigemptyset(&s);
			sigaddset(&s, SIGUSR1);
			OK(sigprocmask(SIG_BLOCK, &s, NULL));
			OK(prctl(PR_SET_PDEATHSIG, SIGUSR1));
			OK(prctl(PR_GET_PDEATHSIG, &sig));
			EQ(sig, SIGUSR1);
			EQ(write(ready[1], "x", 1), 1);
			EQ(sigwait(&s, &sig), 0);
			EQ(write(p[1], "y", 1), 1);
			_exit(0);
		}
		EQ(read(ready[0], &b, 1), 1);
	}
	OK(close(p[1]));
	EQ(read(p[0], &b, 1), 1);
	EQ(b, 'y');
	REAP(k);
}

CASE(exit_status_is_one_byte)
{
	CHILD(k) {
		_exit(0x1234);
	}
	REAP_EXIT(k, 0x34);
	CHILD(m) {
		_exit(-1);
	}
	REAP_EXIT(m, 255);
}

CASE(fork_zombies_count_for_rlimit_nproc)
{
	CHILD(k) {
		struct rlimit rl = {2, 2};
		OK(syscall(SYS_setgroups, 0, NULL));
		become_fresh_user();
		OK(setrlimit(RLIMIT_NPROC, &rl));
		pid_t z = OK(fork());
		if (z == 0)
			_exit(0);
		siginfo_t i;
		OK(waitid(P_PID, z, &i, WEXITED | WNOWAIT));
		ERR(fork(), EAGAIN);
		OK(waitpid(z, NULL, 0));
		z = OK(fork());
		if (z == 0)
			_exit(0);
		OK(waitpid(z, NULL, 0));
	}
	REAP(k);
}

CASE(fork_limited_by_rlimit_nproc)
{
	CHILD(k) {
		struct rlimit rl = {1, 1};
		OK(syscall(SYS_setgroups, 0, NULL));
		become_fresh_user();
		OK(setrlimit(RLIMIT_NPROC, &rl));
		ERR(fork(), EAGAIN);
	}
	REAP(k);
}
