// proc(5): what programs read below /proc.
#include "oracle.h"
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

static char buf[1 << 20];

// The value of "Name:\tvalue" in /proc/PID/status.
static const char *status(const char *path, const char *name)
{
	static char value[256];
	get_file(path, buf, sizeof buf);
	char key[64], *p;
	snprintf(key, sizeof key, "%s:", name);
	for (p = buf; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : p)
		if (!strncmp(p, key, strlen(key))) {
			p += strlen(key);
			while (*p == '\t' || *p == ' ')
				p++;
			int n = strcspn(p, "\n");
			snprintf(value, sizeof value, "%.*s", n, p);
			return value;
		}
	FAILF("%s has no %s", path, name);
}

CASE(proc_self_status)
{
	char v[64];
	OK(prctl(PR_SET_NAME, "oracle-name"));
	STREQ(status("/proc/self/status", "Name"), "oracle-name");
	EQ(atoi(status("/proc/self/status", "Pid")), getpid());
	EQ(atoi(status("/proc/self/status", "Tgid")), getpid());
	EQ(atoi(status("/proc/self/status", "PPid")), getppid());
	EQ(atoi(status("/proc/self/status", "TracerPid")), 0);
	STREQ(status("/proc/self/status", "Uid"), "0\t0\t0\t0");
	STREQ(status("/proc/self/status", "Gid"), "0\t0\t0\t0");
	STREQ(status("/proc/self/status", "State"), "R (running)");
	EQ(atoi(status("/proc/self/status", "Threads")), 1);
	STREQ(status("/proc/self/status", "Umask"), "0022");
	STREQ(status("/proc/self/status", "NoNewPrivs"), "0");
	CHECK(atoi(status("/proc/self/status", "VmSize")) > 0);
	CHECK(atoi(status("/proc/self/status", "VmRSS")) > 0);
	CHECK(atoi(status("/proc/self/status", "FDSize")) >= 64);
	snprintf(v, sizeof v, "%s", status("/proc/self/status", "CapEff"));
	EQ(strlen(v), 16);
	CHECK(strtoull(v, NULL, 16) & 1); // CAP_CHOWN
}

CASE(proc_status_signal_masks)
{
	sigset_t s;
	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	signal(SIGUSR2, SIG_IGN);
	set_handler(SIGHUP, on_tick, 0);
	OK(raise(SIGUSR1));
	STREQ(status("/proc/self/status", "SigBlk"), "0000000000000200");
	STREQ(status("/proc/self/status", "SigIgn"), "0000000000000800");
	STREQ(status("/proc/self/status", "SigCgt"), "0000000000000001");
	STREQ(status("/proc/self/status", "SigPnd"), "0000000000000200");
	STREQ(status("/proc/self/status", "ShdPnd"), "0000000000000000");
	OK(kill(getpid(), SIGUSR1));
	STREQ(status("/proc/self/status", "ShdPnd"), "0000000000000200");
}

CASE(proc_self_stat_fields)
{
	char state, name[64];
	int pid, ppid, pgrp, sid, tty, tpgid;
	OK(prctl(PR_SET_NAME, "odd ) name("));
	get_file("/proc/self/stat", buf, sizeof buf);
	EQ(sscanf(buf, "%d (%15[^(]() %c %d %d %d %d %d", &pid, name, &state, &ppid, &pgrp, &sid, &tty, &tpgid), 8);
	EQ(pid, getpid());
	STREQ(name, "odd ) name");
	EQ(state, 'R');
	EQ(ppid, getppid());
	EQ(pgrp, getpgrp());
	EQ(sid, getsid(0));
	EQ(tty, 0);
	EQ(tpgid, -1);
	int fields = 0;
	for (char *p = strrchr(buf, ')'); *p; p++)
		fields += *p == ' ';
	EQ(fields + 1, 51); // 52 fields in all, of which the first two come before
}

CASE(proc_state_of_other_processes)
{
	char path[64];
	int st;
	CHILD(k) {
		for (;;)
			pause();
	}
	sprintf(path, "/proc/%d/status", k);
	WAIT_FOR(!strcmp(status(path, "State"), "S (sleeping)"));
	OK(kill(k, SIGSTOP));
	EQ(waitpid(k, &st, WUNTRACED), k);
	STREQ(status(path, "State"), "T (stopped)");
	OK(kill(k, SIGKILL));
	siginfo_t si;
	OK(waitid(P_PID, k, &si, WEXITED | WNOWAIT));
	STREQ(status(path, "State"), "Z (zombie)");
	REAP_SIGNAL(k, SIGKILL);
	ERR(access(path, F_OK), ENOENT);
}

CASE(proc_self_is_the_caller)
{
	char l[64] = "", want[32];
	OK(readlink("/proc/self", l, 63));
	sprintf(want, "%d", getpid());
	STREQ(l, want);
	CHILD(k) {
		memset(l, 0, sizeof l);
		OK(readlink("/proc/self", l, 63));
		EQ(atoi(l), getpid());
	}
	REAP(k);
	memset(l, 0, sizeof l);
	OK(readlink("/proc/thread-self", l, 63));
	sprintf(want, "%d/task/%d", getpid(), gettid());
	STREQ(l, want);
}

HELPER(show)
{
	get_file("/proc/self/cmdline", buf, sizeof buf);
	if (memcmp(buf, "zero\0--helper\0show\0two words\0\0", 30))
		return 1;
	int n = get_file("/proc/self/environ", buf, sizeof buf);
	if (n != 8 || memcmp(buf, "A=1\0B=2\0", 8))
		return 2;
	get_file("/proc/self/comm", buf, sizeof buf);
	if (strcmp(buf, "procfs\n"))
		return 3;
	char l[PATH_MAX] = "";
	readlink("/proc/self/exe", l, sizeof l - 1);
	return strcmp(l, self_path) ? 4 : 0;
}

CASE(proc_cmdline_environ_comm_exe)
{
	CHILD(k) {
		char *av[] = {"zero", "--helper", "show", "two words", "", NULL}, *ev[] = {"A=1", "B=2", NULL};
		execve(self_path, av, ev);
		_exit(99);
	}
	REAP(k);
}

CASE(proc_comm_can_be_written)
{
	char name[16];
	int fd = OK(open("/proc/self/comm", O_RDWR));
	EQ(write(fd, "written-name-too-long", 21), 21);
	OK(prctl(PR_GET_NAME, name));
	STREQ(name, "written-name-to");
}

CASE(proc_self_fd)
{
	char path[64], l[PATH_MAX], cwd[PATH_MAX];
	struct stat a, b;
	put_file("f", "x");
	CHECK(getcwd(cwd, sizeof cwd - 20));
	int fd = OK(open("f", O_RDWR | O_APPEND));
	sprintf(path, "/proc/self/fd/%d", fd);
	int n = OK(readlink(path, l, sizeof l));
	l[n] = 0;
	strcat(cwd, "/f");
	STREQ(l, cwd);
	OK(lstat(path, &a));
	EQ(a.st_mode, S_IFLNK | 0700);
	int ro = OK(open("f", O_RDONLY));
	sprintf(path, "/proc/self/fd/%d", ro);
	OK(lstat(path, &a));
	EQ(a.st_mode, S_IFLNK | 0500);
	OK(stat(path, &a));
	OK(stat("f", &b));
	EQ(a.st_ino, b.st_ino);
	OK(unlink("f"));
	n = OK(readlink(path, l, sizeof l));
	l[n] = 0;
	strcat(cwd, " (deleted)");
	STREQ(l, cwd);
	OK(close(ro));
	ERR(readlink(path, l, sizeof l), ENOENT);
	int seen = 0;
	DIR *d = opendir("/proc/self/fd");
	for (struct dirent *e; (e = readdir(d));)
		seen += e->d_name[0] != '.' && atoi(e->d_name) == fd;
	EQ(seen, 1);
}

CASE(proc_fdinfo)
{
	char path[64];
	put_file("f", "0123456789");
	int fd = OK(open("f", O_RDWR | O_APPEND | O_CLOEXEC));
	EQ(lseek(fd, 7, SEEK_SET), 7);
	sprintf(path, "/proc/self/fdinfo/%d", fd);
	get_file(path, buf, sizeof buf);
	CHECK(strstr(buf, "pos:\t7\n"));
	CHECK(strstr(buf, "flags:\t02102002\n"));
	CHECK(strstr(buf, "mnt_id:\t"));
}

CASE(proc_cwd_and_root)
{
	char l[PATH_MAX] = "", cwd[PATH_MAX];
	struct stat a, b;
	CHECK(getcwd(cwd, sizeof cwd));
	OK(readlink("/proc/self/cwd", l, sizeof l - 1));
	STREQ(l, cwd);
	memset(l, 0, sizeof l);
	OK(readlink("/proc/self/root", l, sizeof l - 1));
	STREQ(l, "/");
	OK(stat("/proc/self/cwd/", &a));
	OK(stat(".", &b));
	EQ(a.st_ino, b.st_ino);
}

CASE(proc_maps)
{
	char line[512], file[PATH_MAX], perms[5];
	put_file("mapped", "x");
	int fd = OK(open("mapped", O_RDWR));
	char *a = OK(mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	char *s = OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	char *x = OK(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0));
	FILE *f = fopen("/proc/self/maps", "r");
	CHECK(f);
	unsigned long lo, hi, off, ino, last = 0;
	int seen = 0;
	while (fgets(line, sizeof line, f)) {
		unsigned maj, min;
		file[0] = 0;
		CHECK(sscanf(line, "%lx-%lx %4s %lx %x:%x %lu %[^\n]", &lo, &hi, perms, &off, &maj, &min, &ino, file) >= 7);
		CHECK(lo >= last && hi > lo);
		last = hi;
		if (lo <= (uintptr_t)a && (uintptr_t)a < hi) {
			seen |= 1;
			STREQ(perms, "r--p");
		}
		if (lo == (uintptr_t)s) {
			seen |= 2;
			STREQ(perms, "rw-s");
			CHECK(strstr(file, "/mapped"));
			struct stat st;
			OK(fstat(fd, &st));
			EQ(ino, st.st_ino);
		}
		if (lo == (uintptr_t)x) {
			seen |= 4;
			STREQ(perms, "r-xp");
		}
		if (!strcmp(file, "[stack]"))
			seen |= 8;
		if (!strcmp(file, "[vdso]"))
			seen |= 16;
		if (!strcmp(file, "[heap]"))
			seen |= 32;
		if (!strcmp(file, self_path))
			seen |= 64;
	}
	EQ(seen, 127);
}

CASE(proc_maps_of_deleted_file)
{
	put_file("gone", "x");
	int fd = OK(open("gone", O_RDWR));
	OK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0));
	OK(unlink("gone"));
	get_file("/proc/self/maps", buf, sizeof buf);
	CHECK(strstr(buf, "/gone (deleted)\n"));
}

CASE(proc_statm_and_smaps)
{
	long size, rss, shared, text, lib, data, dt;
	get_file("/proc/self/statm", buf, sizeof buf);
	EQ(sscanf(buf, "%ld %ld %ld %ld %ld %ld %ld", &size, &rss, &shared, &text, &lib, &data, &dt), 7);
	CHECK(size > 0 && rss > 0 && size >= rss && text > 0);
	EQ(lib, 0);
	EQ(dt, 0);
	OK(mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	long before = size;
	get_file("/proc/self/statm", buf, sizeof buf);
	EQ(atol(buf), before + 256);
	get_file("/proc/self/smaps", buf, sizeof buf);
	CHECK(strstr(buf, "Rss:") && strstr(buf, "Private_Dirty:"));
}

CASE(proc_mem_reads_and_writes)
{
	volatile int v = 1234;
	int got = 0, w = 5678, fd = OK(open("/proc/self/mem", O_RDWR));
	EQ(pread(fd, &got, sizeof got, (off_t)(uintptr_t)&v), sizeof got);
	EQ(got, 1234);
	EQ(pwrite(fd, &w, sizeof w, (off_t)(uintptr_t)&v), sizeof w);
	EQ(v, 5678);
	ERR(pread(fd, &got, 4, 8), EIO);
}

CASE(proc_limits)
{
	OK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){100, 200}));
	get_file("/proc/self/limits", buf, sizeof buf);
	CHECK(!strncmp(buf, "Limit                     Soft Limit           Hard Limit           Units     \n", 78));
	CHECK(strstr(buf, "Max open files            100                  200                  files     \n"));
}

CASE(proc_task_directory)
{
	char path[64];
	DIR *d = opendir("/proc/self/task");
	CHECK(d);
	int n = 0;
	for (struct dirent *e; (e = readdir(d));)
		if (e->d_name[0] != '.') {
			EQ(atoi(e->d_name), gettid());
			n++;
		}
	EQ(n, 1);
	sprintf(path, "/proc/self/task/%d/status", gettid());
	EQ(atoi(status(path, "Pid")), gettid());
	sprintf(path, "/proc/self/task/%d/children", gettid());
	CHILD(k) {
		for (;;)
			pause();
	}
	if (access(path, F_OK) == 0) {
		get_file(path, buf, sizeof buf);
		EQ(atoi(buf), k);
	}
	OK(kill(k, SIGKILL));
	REAP_SIGNAL(k, SIGKILL);
}

CASE(proc_lists_processes)
{
	int seen = 0, self = 0;
	CHILD(k) {
		for (;;)
			pause();
	}
	DIR *d = opendir("/proc");
	CHECK(d);
	for (struct dirent *e; (e = readdir(d));) {
		seen += atoi(e->d_name) == k;
		self += atoi(e->d_name) == getpid();
	}
	EQ(seen, 1);
	EQ(self, 1);
	OK(kill(k, SIGKILL));
	REAP_SIGNAL(k, SIGKILL);
}

CASE(proc_mountinfo_format)
{
	get_file("/proc/self/mountinfo", buf, sizeof buf);
	int root = 0, proc = 0;
	for (char *p = strtok(buf, "\n"); p; p = strtok(NULL, "\n")) {
		int id, parent, maj, min;
		char rt[256], point[256], opts[256];
		EQ(sscanf(p, "%d %d %d:%d %255s %255s %255s", &id, &parent, &maj, &min, rt, point, opts), 7);
		char *sep = strstr(p, " - ");
		CHECK(sep);
		char type[64], src[256], super[512];
		EQ(sscanf(sep + 3, "%63s %255s %511s", type, src, super), 3);
		CHECK(!strncmp(opts, "rw", 2) || !strncmp(opts, "ro", 2));
		root += !strcmp(point, "/");
		proc += !strcmp(point, "/proc") && !strcmp(type, "proc");
	}
	CHECK(root >= 1);
	CHECK(proc >= 1);
	get_file("/proc/self/mounts", buf, sizeof buf);
	CHECK(strstr(buf, " /proc proc "));
	char l[64] = "";
	OK(readlink("/proc/mounts", l, 63));
	STREQ(l, "self/mounts");
}

CASE(proc_system_files)
{
	struct sysinfo si;
	struct utsname u;
	get_file("/proc/meminfo", buf, sizeof buf);
	long total = 0;
	EQ(sscanf(buf, "MemTotal: %ld kB", &total), 1);
	OK(sysinfo(&si));
	CHECK(total == (long)(si.totalram * si.mem_unit / 1024));
	CHECK(strstr(buf, "MemFree:") && strstr(buf, "MemAvailable:") && strstr(buf, "SwapTotal:"));
	get_file("/proc/uptime", buf, sizeof buf);
	double up = 0;
	EQ(sscanf(buf, "%lf", &up), 1);
	CHECK(up > 0 && up + 30 >= si.uptime && up <= si.uptime + 60);
	get_file("/proc/loadavg", buf, sizeof buf);
	double a, b, c;
	int run, all, lastpid;
	EQ(sscanf(buf, "%lf %lf %lf %d/%d %d", &a, &b, &c, &run, &all, &lastpid), 6);
	get_file("/proc/version", buf, sizeof buf);
	OK(uname(&u));
	CHECK(!strncmp(buf, "Linux version ", 14));
	CHECK(!strncmp(buf + 14, u.release, strlen(u.release)));
	get_file("/proc/stat", buf, sizeof buf);
	CHECK(!strncmp(buf, "cpu  ", 5));
	CHECK(strstr(buf, "\nbtime ") && strstr(buf, "\nprocesses ") && strstr(buf, "\nctxt "));
	get_file("/proc/cpuinfo", buf, sizeof buf);
	CHECK(strstr(buf, "processor\t: 0\n") && strstr(buf, "flags\t\t: "));
	get_file("/proc/filesystems", buf, sizeof buf);
	CHECK(strstr(buf, "nodev\tproc\n") && strstr(buf, "nodev\ttmpfs\n"));
}

CASE(proc_cpuinfo_matches_affinity)
{
	get_file("/proc/cpuinfo", buf, sizeof buf);
	int n = 0;
	for (char *p = buf; (p = strstr(p, "processor\t:")); p++)
		n++;
	EQ(n, sysconf(_SC_NPROCESSORS_ONLN));
}

CASE(proc_sys_kernel)
{
	struct utsname u;
	OK(uname(&u));
	get_file("/proc/sys/kernel/hostname", buf, sizeof buf);
	buf[strcspn(buf, "\n")] = 0;
	STREQ(buf, u.nodename);
	get_file("/proc/sys/kernel/osrelease", buf, sizeof buf);
	buf[strcspn(buf, "\n")] = 0;
	STREQ(buf, u.release);
	get_file("/proc/sys/kernel/pid_max", buf, sizeof buf);
	CHECK(atoi(buf) >= 32768);
	get_file("/proc/sys/vm/overcommit_memory", buf, sizeof buf);
	CHECK(atoi(buf) >= 0 && atoi(buf) <= 2);
	get_file("/proc/sys/kernel/random/boot_id", buf, sizeof buf);
	EQ(strlen(buf), 37);
	char first[64];
	get_file("/proc/sys/kernel/random/uuid", first, sizeof first);
	get_file("/proc/sys/kernel/random/uuid", buf, sizeof buf);
	CHECK(strcmp(first, buf));
}

CASE(proc_net_files)
{
	get_file("/proc/net/dev", buf, sizeof buf);
	CHECK(strstr(buf, "    lo:"));
	get_file("/proc/net/tcp", buf, sizeof buf);
	CHECK(!strncmp(buf, "  sl  local_address rem_address   st ", 37));
	get_file("/proc/net/unix", buf, sizeof buf);
	CHECK(!strncmp(buf, "Num       RefCount Protocol Flags    Type St Inode Path\n", 56));
	char l[64] = "";
	OK(readlink("/proc/net", l, 63));
	STREQ(l, "self/net");
}

CASE(proc_is_read_only_where_it_should_be)
{
	ERR(open("/proc/self/newfile", O_CREAT | O_WRONLY, 0600), ENOENT);
	ERR(mkdir("/proc/x", 0755), ENOENT);
	ERR(unlink("/proc/self/status"), EPERM);
	ERR(open("/proc/self/none", O_RDONLY), ENOENT);
	ERR(open("/proc/999999999", O_RDONLY), ENOENT);
	ERR(rmdir("/proc/self/fd"), EPERM);
}

CASE(proc_partial_reads)
{
	char a[4096], b[4096];
	int n = get_file("/proc/version", a, sizeof a), fd = OK(open("/proc/version", O_RDONLY));
	for (int i = 0; i < n; i++) {
		EQ(read(fd, b + i, 1), 1);
		EQ(a[i], b[i]);
	}
	EQ(read(fd, b, 1), 0);
	EQ(pread(fd, b, 5, 6), 5);
	EQ(memcmp(b, a + 6, 5), 0);
	EQ(lseek(fd, 0, SEEK_SET), 0);
	EQ(read(fd, b, 5), 5);
	EQ(memcmp(a, b, 5), 0);
}

CASE(proc_file_stat)
{
	struct stat st;
	OK(stat("/proc/self/status", &st));
	EQ(st.st_mode, S_IFREG | 0444);
	EQ(st.st_size, 0);
	OK(stat("/proc/self", &st));
	EQ(st.st_mode, S_IFDIR | 0555);
	OK(stat("/proc/self/fd", &st));
	EQ(st.st_mode, S_IFDIR | 0500);
	OK(stat("/proc/self/mem", &st));
	EQ(st.st_mode, S_IFREG | 0600);
	OK(stat("/proc/self/environ", &st));
	EQ(st.st_mode, S_IFREG | 0400);
}

CASE(proc_of_other_user_is_protected)
{
	char path[64];
	CHILD(k) {
		for (;;)
			pause();
	}
	CHILD(m) {
		become_nobody();
		sprintf(path, "/proc/%d/environ", k);
		ERR(open(path, O_RDONLY), EACCES);
		sprintf(path, "/proc/%d/fd/0", k);
		ERR(access(path, F_OK), EACCES);
		sprintf(path, "/proc/%d/exe", k);
		char l[64];
		ERR(readlink(path, l, 64), EACCES);
		sprintf(path, "/proc/%d/status", k);
		OK(open(path, O_RDONLY));
	}
	REAP(m);
	OK(kill(k, SIGKILL));
	REAP_SIGNAL(k, SIGKILL);
}

CASE(proc_namespaces)
{
	char a[64] = "", b[64] = "";
	const char *ns[] = {"mnt", "uts", "ipc", "net", "pid", "user"};
	for (int i = 0; i < 6; i++) {
		char path[64];
		sprintf(path, "/proc/self/ns/%s", ns[i]);
		memset(a, 0, sizeof a);
		OK(readlink(path, a, 63));
		EQ(strncmp(a, ns[i], strlen(ns[i])), 0);
		CHECK(a[strlen(ns[i])] == ':' && a[strlen(ns[i]) + 1] == '[');
	}
	OK(readlink("/proc/self/ns/uts", a, 63));
	memset(b, 0, sizeof b);
	memset(a, 0, sizeof a);
	OK(readlink("/proc/self/ns/uts", a, 63));
	char path[64];
	sprintf(path, "/proc/%d/ns/uts", getpid());
	OK(readlink(path, b, 63));
	STREQ(a, b);
}

CASE(proc_uid_map)
{
	unsigned in, out, n;
	get_file("/proc/self/uid_map", buf, sizeof buf);
	EQ(sscanf(buf, "%u %u %u", &in, &out, &n), 3);
	EQ(in, 0);
	CHECK(n >= 1);
}

CASE(proc_auxv_matches)
{
	unsigned long v[2];
	int fd = OK(open("/proc/self/auxv", O_RDONLY)), pagesz = 0;
	while (read(fd, v, sizeof v) == sizeof v && v[0])
		if (v[0] == 6)
			pagesz = v[1];
	EQ(pagesz, 4096);
}

CASE(proc_oom_score_adj)
{
	get_file("/proc/self/oom_score_adj", buf, sizeof buf);
	int v = atoi(buf);
	CHECK(v >= -1000 && v <= 1000);
	if (v < 900) {
		char n[16];
		int fd = OK(open("/proc/self/oom_score_adj", O_WRONLY));
		int len = sprintf(n, "%d", v + 50); // raising needs no privilege
		EQ(write(fd, n, len), len);
		get_file("/proc/self/oom_score_adj", buf, sizeof buf);
		EQ(atoi(buf), v + 50);
		ERR(write(fd, "5000", 4), EINVAL);
	}
}
