// execve(2), execveat(2), scripts, argument limits, what exec keeps and what it resets.
#include "oracle.h"
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#define RUN(...)                                                             \
	({                                                                   \
		pid_t k_ = OK(fork());                                       \
		if (k_ == 0) {                                               \
			execl(self_path, self_path, "--helper", __VA_ARGS__, NULL); \
			_exit(126);                                          \
		}                                                            \
		k_;                                                          \
	})

HELPER(args)
{
	if (argc != 4 || strcmp(argv[1], "") || strcmp(argv[2], "a b") || strcmp(argv[3], "\xff\x01"))
		return 1;
	return 0;
}

CASE(exec_passes_arguments)
{
	REAP(RUN("args", "", "a b", "\xff\x01"));
}

HELPER(env)
{
	extern char **environ;
	return environ[0] && !strcmp(environ[0], "A=1") && !strcmp(environ[1], "B=") && !environ[2] ? 0 : 1;
}

CASE(exec_passes_environment)
{
	CHILD(k) {
		char *av[] = {"x", "--helper", "env", NULL}, *ev[] = {"A=1", "B=", NULL};
		execve(self_path, av, ev);
		_exit(2);
	}
	REAP(k);
}

CASE(exec_errors)
{
	char *av[] = {"x", NULL};
	put_file("noexec", "#!/bin/sh\nexit 0\n");
	put_file("garbage", "this is no program");
	OK(chmod("garbage", 0755));
	put_file("empty", "");
	OK(chmod("empty", 0755));
	OK(mkdir("d", 0755));
	OK(symlink("loop", "loop"));
	ERR(execve("none", av, NULL), ENOENT);
	ERR(execve("noexec", av, NULL), EACCES);
	ERR(execve("garbage", av, NULL), ENOEXEC);
	ERR(execve("empty", av, NULL), ENOEXEC);
	ERR(execve("d", av, NULL), EACCES);
	ERR(execve("garbage/x", av, NULL), ENOTDIR);
	ERR(execve("loop", av, NULL), ELOOP);
	ERR(execve("", av, NULL), ENOENT);
	ERR(execve(BAD_PTR, av, NULL), EFAULT);
	ERR(execve(self_path, BAD_PTR, NULL), EFAULT);
	ERR(execve(self_path, av, BAD_PTR), EFAULT);
	char *bad[] = {"x", BAD_PTR, NULL};
	ERR(execve(self_path, bad, NULL), EFAULT);
	OK(mkfifo("fifo", 0777));
	ERR(execve("fifo", av, NULL), EACCES);
	ERR(execve("/dev/null", av, NULL), EACCES);
}

CASE(exec_argument_too_long)
{
	char *big = malloc(131073 + 1);
	memset(big, 'x', 131073);
	big[131072] = 0;
	char *av[] = {"x", "--helper", "ok", big, NULL};
	ERR(execve(self_path, av, NULL), E2BIG); // 32 pages with the terminator
	big[131071] = 0;
	CHILD(k) {
		execve(self_path, av, NULL);
	}
	REAP_EXIT(k, 11);
}

HELPER(ok)
{
	return 11;
}

CASE(exec_arguments_total_too_long)
{
	int n = 100;
	char **av = calloc(n + 5, sizeof *av), *big = malloc(131072);
	memset(big, 'x', 131071);
	big[131071] = 0;
	for (int i = 0; i < n; i++)
		av[i] = big;
	ERR(execve(self_path, av, NULL), E2BIG); // 13 MB, more than a quarter of any stack limit
	CHILD(k) {
		struct rlimit rl;
		OK(getrlimit(RLIMIT_STACK, &rl));
		rl.rlim_cur = 1 << 20;
		OK(setrlimit(RLIMIT_STACK, &rl));
		av[0] = "x", av[1] = "--helper", av[2] = "ok", av[5] = NULL;
		ERR(execve(self_path, av, NULL), E2BIG); // 262 KB of a 1 MB stack
		av[4] = NULL;
		execve(self_path, av, NULL);
	}
	REAP_EXIT(k, 11);
}

HELPER(many)
{
	return argc == 20001 && !strcmp(argv[20000], "19999") ? 0 : 1;
}

CASE(exec_many_arguments)
{
	char **av = calloc(20010, sizeof *av);
	av[0] = "x", av[1] = "--helper", av[2] = "many";
	for (int i = 0; i < 20000; i++) {
		av[3 + i] = malloc(8);
		sprintf(av[3 + i], "%d", i);
	}
	CHILD(k) {
		execv(self_path, av);
	}
	REAP(k);
}

CASE(exec_null_argv_gets_empty_string)
{
	// Linux 5.18 and later put "" in; the program then lists its cases and exits with 0
	CHILD(k) {
		int null = OK(open("/dev/null", O_WRONLY));
		OK(dup2(null, 1));
		char *none[] = {NULL};
		execve(self_path, none, NULL);
		_exit(3);
	}
	REAP(k);
}

HELPER(fds)
{
	return fcntl(100, F_GETFD) == 0 && fcntl(101, F_GETFD) == -1 && lseek(100, 0, SEEK_CUR) == 2 ? 0 : 1;
}

CASE(exec_closes_cloexec_only)
{
	put_file("f", "abc");
	int fd = OK(open("f", O_RDONLY));
	EQ(lseek(fd, 2, SEEK_SET), 2);
	OK(dup2(fd, 100));
	OK(dup3(fd, 101, O_CLOEXEC));
	REAP(RUN("fds"));
	OK(fcntl(101, F_GETFD)); // only in the child
}

HELPER(signals)
{
	struct sigaction sa;
	sigset_t s;
	stack_t st;
	sigaction(SIGUSR1, NULL, &sa);
	if (sa.sa_handler != SIG_DFL)
		return 1;
	sigaction(SIGUSR2, NULL, &sa);
	if (sa.sa_handler != SIG_IGN)
		return 2;
	sigprocmask(SIG_BLOCK, NULL, &s);
	if (!sigismember(&s, SIGWINCH))
		return 3;
	sigpending(&s);
	if (!sigismember(&s, SIGWINCH))
		return 4;
	sigaltstack(NULL, &st);
	return st.ss_flags == SS_DISABLE ? 0 : 5;
}

CASE(exec_signal_state)
{
	char stack[65536];
	set_handler(SIGUSR1, on_tick, 0);
	signal(SIGUSR2, SIG_IGN);
	set_handler(SIGWINCH, on_tick, 0);
	sigset_t s;
	sigemptyset(&s);
	sigaddset(&s, SIGWINCH);
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	stack_t ss = {.ss_sp = stack, .ss_size = sizeof stack};
	OK(sigaltstack(&ss, NULL));
	CHILD(k) {
		OK(raise(SIGWINCH));
		execl(self_path, "x", "--helper", "signals", NULL);
		_exit(99);
	}
	REAP(k);
}

HELPER(attributes)
{
	char b[PATH_MAX];
	struct rlimit rl;
	struct itimerval it;
	prctl(PR_GET_NAME, b);
	if (strcmp(b, strrchr(self_path, '/') + 1))
		return 1;
	if (!getcwd(b, sizeof b) || strcmp(strrchr(b, '/'), "/sub"))
		return 2;
	if (umask(0) != 044)
		return 3;
	getrlimit(RLIMIT_CORE, &rl);
	if (rl.rlim_cur != 0)
		return 4;
	getitimer(ITIMER_REAL, &it);
	if (it.it_value.tv_sec < 10)
		return 5;
	if (getpriority(PRIO_PROCESS, 0) != 19)
		return 6;
	return atoi(argv[1]) == getpid() ? 0 : 7;
}

CASE(exec_keeps_process_attributes)
{
	OK(mkdir("sub", 0755));
	CHILD(k) {
		char pid[16];
		OK(chdir("sub"));
		umask(044);
		OK(setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}));
		OK(setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {100, 0}}, NULL));
		OK(setpriority(PRIO_PROCESS, 0, 19));
		OK(prctl(PR_SET_NAME, "othername"));
		sprintf(pid, "%d", getpid());
		execl(self_path, "x", "--helper", "attributes", pid, NULL);
		_exit(99);
	}
	REAP(k);
}

CASE(exec_script)
{
	char line[PATH_MAX + 50];
	snprintf(line, sizeof line, "#! %s --helper\nanything\n", self_path);
	// the interpreter gets: --helper script arg...; helpers are found by the script's name
	put_file("ok", line);
	OK(chmod("ok", 0755));
	CHILD(k) {
		execl("ok", "ignored-argv0", "arg", NULL);
		_exit(99);
	}
	REAP_EXIT(k, 11);
}

HELPER(script_args)
{
	return argc == 3 && !strcmp(argv[1], "one") && !strcmp(argv[2], "two words") ? 12 : 1;
}

CASE(exec_script_arguments)
{
	char line[PATH_MAX + 50];
	snprintf(line, sizeof line, "#!%s --helper\n", self_path);
	put_file("script_args", line);
	OK(chmod("script_args", 0755));
	CHILD(k) {
		execl("script_args", "x", "one", "two words", NULL);
		_exit(99);
	}
	REAP_EXIT(k, 12);
}

CASE(exec_script_with_shell)
{
	if (access("/bin/sh", X_OK) < 0)
		SKIP("no /bin/sh");
	put_file("s", "#!/bin/sh\n[ \"$1\" = hello ] && [ $# = 1 ] || exit 1\nexit 33\n");
	OK(chmod("s", 0755));
	CHILD(k) {
		execl("./s", "s", "hello", NULL);
		_exit(99);
	}
	REAP_EXIT(k, 33);
}

CASE(exec_script_errors)
{
	char *av[] = {"x", NULL};
	put_file("s1", "#!/no/such/interpreter\n");
	put_file("s2", "#!\n");
	put_file("s3", "#!   \n");
	for (int i = 1; i <= 3; i++) {
		char n[8];
		sprintf(n, "s%d", i);
		OK(chmod(n, 0755));
	}
	ERR(execve("s1", av, NULL), ENOENT);
	ERR(execve("s2", av, NULL), ENOEXEC);
	ERR(execve("s3", av, NULL), ENOEXEC);
	char cwd[PATH_MAX], line[PATH_MAX + 20];
	CHECK(getcwd(cwd, sizeof cwd));
	put_file("base", "#!/bin/none\n");
	OK(chmod("base", 0755));
	// scripts that interpret scripts, too many levels
	char prev[16] = "base", name[16];
	for (int i = 0; i < 6; i++) {
		snprintf(line, sizeof line, "#!%s/%s\n", cwd, prev);
		sprintf(name, "lv%d", i);
		put_file(name, line);
		OK(chmod(name, 0755));
		strcpy(prev, name);
	}
	ERR(execve("lv5", av, NULL), ELOOP);
	ERR(execve("lv1", av, NULL), ENOENT);
}

CASE(execveat_forms)
{
	copy_self("prog");
	int dir = OK(open(".", O_RDONLY)), fd = OK(open("prog", O_PATH | O_CLOEXEC)), rd = OK(open("prog", O_RDONLY));
	char *av[] = {"x", "--helper", "ok", NULL};
	OK(chdir("/"));
	CHILD(a) {
		syscall(SYS_execveat, dir, "prog", av, NULL, 0);
		_exit(99);
	}
	REAP_EXIT(a, 11);
	CHILD(b) {
		syscall(SYS_execveat, fd, "", av, NULL, AT_EMPTY_PATH);
		_exit(99);
	}
	REAP_EXIT(b, 11);
	CHILD(c) {
		fexecve(rd, av, (char *[]){NULL});
		_exit(99);
	}
	REAP_EXIT(c, 11);
	ERR(syscall(SYS_execveat, fd, "", av, NULL, 0), ENOENT);
	ERR(syscall(SYS_execveat, 999, "x", av, NULL, 0), EBADF);
	ERR(syscall(SYS_execveat, dir, "prog", av, NULL, 0x8000), EINVAL);
	OK(symlinkat("prog", dir, "link"));
	ERR(syscall(SYS_execveat, dir, "link", av, NULL, AT_SYMLINK_NOFOLLOW), ELOOP);
}

CASE(exec_running_file_is_busy)
{
	copy_self("prog");
	int p[2];
	char b;
	OK(pipe(p));
	CHILD(k) {
		OK(dup2(p[1], 1));
		OK(close(p[0]));
		OK(close(p[1]));
		execl("./prog", "x", "--helper", "hang", NULL);
		_exit(99);
	}
	EQ(read(p[0], &b, 1), 1);
	ERR(open("prog", O_WRONLY), ETXTBSY);
	ERR(truncate("prog", 0), ETXTBSY);
	OK(kill(k, SIGKILL));
	REAP_SIGNAL(k, SIGKILL);
	OK(open("prog", O_WRONLY));
}

HELPER(hang)
{
	write(1, "x", 1);
	for (;;)
		pause();
}

CASE(exec_file_open_for_writing_is_busy)
{
	char *av[] = {"x", NULL};
	copy_self("prog");
	int fd = OK(open("prog", O_WRONLY));
	ERR(execve("./prog", av, NULL), ETXTBSY);
	OK(close(fd));
	CHILD(k) {
		execl("./prog", "x", "--helper", "ok", NULL);
		_exit(99);
	}
	REAP_EXIT(k, 11);
}

HELPER(memory)
{
	// nothing of the old image is there
	unsigned char v;
	void *old = (void *)strtoul(argv[1], NULL, 16);
	return mincore(old, 4096, &v) < 0 && errno == ENOMEM ? 0 : 1;
}

CASE(exec_drops_memory)
{
	char addr[32];
	void *want = (void *)0x100000000000;
	void *m = OK(mmap(want, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	sprintf(addr, "%lx", (long)m);
	REAP(RUN("memory", addr));
}

HELPER(threads)
{
	DIR *d = opendir("/proc/self/task");
	int n = 0;
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	return n == 1 && atoi(argv[1]) == getpid() && gettid() == getpid() ? 0 : 1;
}

static void *just_wait(void *arg)
{
	(void)arg;
	for (;;)
		pause();
}

static void *exec_from_thread(void *arg)
{
	execl(self_path, "x", "--helper", "threads", (char *)arg, NULL);
	_exit(99);
}

CASE(exec_from_second_thread_takes_over)
{
	CHILD(k) {
		char pid[16];
		pthread_t a, b;
		sprintf(pid, "%d", getpid());
		EQ(pthread_create(&a, NULL, just_wait, NULL), 0);
		EQ(pthread_create(&b, NULL, exec_from_thread, pid), 0);
		just_wait(NULL);
	}
	REAP(k);
}

CASE(exec_from_leader_ends_threads)
{
	CHILD(k) {
		char pid[16];
		pthread_t a;
		sprintf(pid, "%d", getpid());
		for (int i = 0; i < 5; i++)
			EQ(pthread_create(&a, NULL, just_wait, NULL), 0);
		exec_from_thread(pid);
	}
	REAP(k);
}

HELPER(ids)
{
	uid_t r, e, s;
	getresuid(&r, &e, &s);
	return (int)r == atoi(argv[1]) && (int)e == atoi(argv[2]) && (int)s == atoi(argv[3]) ? 0 : 1;
}

CASE(exec_setuid_program)
{
	struct statvfs fs;
	OK(statvfs(".", &fs));
	if (fs.f_flag & ST_NOSUID)
		SKIP("nosuid");
	copy_self("suid");
	OK(chown("suid", 1234, 1234));
	OK(chmod("suid", 04755));
	OK(chmod(".", 0755));
	CHILD(k) {
		become_nobody();
		execl("./suid", "x", "--helper", "ids", "65534", "1234", "1234", NULL);
		_exit(99);
	}
	REAP(k);
	CHILD(m) {
		become_nobody();
		OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
		execl("./suid", "x", "--helper", "ids", "65534", "65534", "65534", NULL);
		_exit(99);
	}
	REAP(m);
}

HELPER(gids)
{
	gid_t r, e, s;
	getresgid(&r, &e, &s);
	return r == 65534 && e == 4321 && s == 4321 ? 0 : 1;
}

CASE(exec_setgid_program)
{
	copy_self("sgid");
	OK(chown("sgid", 0, 4321));
	OK(chmod("sgid", 02755));
	CHILD(k) {
		become_nobody();
		execl("./sgid", "x", "--helper", "gids", NULL);
		_exit(99);
	}
	REAP(k);
}

HELPER(securebit)
{
	unsigned long at = 0, v[2];
	int fd = open("/proc/self/auxv", O_RDONLY);
	while (fd >= 0 && read(fd, v, 16) == 16)
		if (v[0] == 23)
			at = v[1];
	return fd < 0 ? 50 : (int)at;
}

CASE(exec_at_secure)
{
	REAP(RUN("securebit"));
	copy_self("sgid");
	OK(chown("sgid", 0, 4321));
	OK(chmod("sgid", 02755));
	CHILD(k) {
		gid_t none[1];
		OK(syscall(SYS_setgroups, 0, none));
		OK(syscall(SYS_setresgid, 65534, 65534, 65534));
		execl("./sgid", "x", "--helper", "securebit", NULL);
		_exit(99);
	}
	REAP_EXIT(k, 1);
}

CASE(exec_needs_execute_permission)
{
	copy_self("prog");
	OK(chmod("prog", 0744));
	CHILD(k) {
		char *av[] = {"x", NULL};
		become_nobody();
		ERR(execve("./prog", av, NULL), EACCES);
	}
	REAP(k);
	OK(chmod("prog", 0711)); // executable without being readable
	CHILD(m) {
		become_nobody();
		execl("./prog", "x", "--helper", "ok", NULL);
		_exit(99);
	}
	REAP_EXIT(m, 11);
}

HELPER(auxv)
{
	unsigned long v[2], seen = 0;
	int fd = open("/proc/self/auxv", O_RDONLY);
	if (fd < 0)
		return 1;
	while (read(fd, v, 16) == 16 && v[0])
		if (v[0] < 64)
			seen |= 1UL << v[0];
	for (const char *p = argv[1]; *p; p = strchr(p, ',') ? strchr(p, ',') + 1 : "")
		if (!(seen >> atoi(p) & 1))
			return atoi(p);
	return 0;
}

CASE(exec_auxiliary_vector)
{
	// PHDR PHENT PHNUM PAGESZ ENTRY UID EUID GID EGID PLATFORM HWCAP CLKTCK SECURE RANDOM EXECFN
	REAP(RUN("auxv", "3,4,5,6,9,11,12,13,14,15,16,17,23,25,31,33"));
}

CASE(exec_corrupt_elf)
{
	char *av[] = {"x", NULL};
	copy_self("prog");
	int fd = OK(open("prog", O_RDWR));
	EQ(pwrite(fd, "\x28\0", 2, 18), 2); // e_machine: ARM
	OK(close(fd));
	ERR(execve("./prog", av, NULL), ENOEXEC);
	copy_self("prog");
	fd = OK(open("prog", O_RDWR));
	EQ(pwrite(fd, "\1\0", 2, 16), 2); // e_type: relocatable
	OK(close(fd));
	ERR(execve("./prog", av, NULL), ENOEXEC);
	copy_self("prog");
	fd = OK(open("prog", O_RDWR));
	EQ(pwrite(fd, "\0\0", 2, 56), 2); // e_phnum: none
	OK(close(fd));
	ERR(execve("./prog", av, NULL), ENOEXEC);
	copy_self("prog");
	OK(truncate("prog", 40));
	ERR(execve("./prog", av, NULL), ENOEXEC);
}
