// Shared mappings: coherence with read(2) and write(2), between processes, memfd_create(2),
// seals, /dev/shm.
#include "oracle.h"

#define PAGE 4096UL

static char *map(int fd, size_t n)
{
	return OK(mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
}

CASE(shared_file_mapping_writes_through)
{
	char b[16];
	int fd = OK(open("f", O_CREAT | O_RDWR, 0600));
	OK(ftruncate(fd, 10));
	char *m = map(fd, PAGE);
	memcpy(m, "0123456789", 10);
	EQ(pread(fd, b, 16, 0), 10);
	EQ(memcmp(b, "0123456789", 10), 0);
	EQ(pwrite(fd, "AB", 2, 4), 2);
	EQ(memcmp(m, "0123AB6789", 10), 0);
	OK(munmap(m, PAGE));
	EQ(get_file("f", b, 16), 10);
	STREQ(b, "0123AB6789");
}

CASE(shared_mapping_write_beyond_eof_is_not_in_file)
{
	struct stat st;
	int fd = OK(open("f", O_CREAT | O_RDWR, 0600));
	OK(ftruncate(fd, 10));
	char *m = map(fd, PAGE);
	m[100] = 'x';
	OK(fstat(fd, &st));
	EQ(st.st_size, 10);
}

CASE(two_mappings_of_one_file_agree)
{
	int fd = OK(open("f", O_CREAT | O_RDWR, 0600)), fd2;
	OK(ftruncate(fd, 2 * PAGE));
	fd2 = OK(open("f", O_RDWR));
	char *a = map(fd, 2 * PAGE), *b = map(fd2, 2 * PAGE);
	CHECK(a != b);
	for (int i = 0; i < 100; i++) {
		a[PAGE + i] = i;
		EQ(b[PAGE + i], i);
		b[i] = i + 1;
		EQ(a[i], i + 1);
	}
}

CASE(shared_mapping_across_fork)
{
	char *m = OK(mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	m[0] = 1;
	CHILD(k) {
		EQ(m[0], 1);
		m[0] = 2;
		m[3 * PAGE] = 3; // a page that nobody had touched before the fork
	}
	REAP(k);
	EQ(m[0], 2);
	EQ(m[3 * PAGE], 3);
}

CASE(shared_file_mapping_between_unrelated_opens)
{
	put_file("f", "................");
	int p[2];
	char b;
	OK(pipe(p));
	CHILD(k) {
		int fd = OK(open("f", O_RDWR));
		char *m = map(fd, PAGE);
		m[3] = 'c';
		EQ(write(p[1], "x", 1), 1);
		WAIT_FOR(((volatile char *)m)[4] == 'p');
	}
	int fd = OK(open("f", O_RDWR));
	char *m = map(fd, PAGE);
	EQ(read(p[0], &b, 1), 1);
	EQ(m[3], 'c');
	m[4] = 'p';
	REAP(k);
}

CASE(shared_atomic_increments)
{
	int *m = OK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	pid_t p[4];
	for (int i = 0; i < 4; i++) {
		CHILD(k) {
			for (int j = 0; j < 10000; j++)
				__atomic_add_fetch(m, 1, __ATOMIC_SEQ_CST);
		}
		p[i] = k;
	}
	for (int i = 0; i < 4; i++)
		REAP(p[i]);
	EQ(*m, 40000);
}

CASE(private_mapping_hides_writes)
{
	put_file("f", "original");
	int fd = OK(open("f", O_RDWR));
	char *p = OK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0)), *s = map(fd, PAGE);
	p[0] = 'P';
	EQ(s[0], 'o');
	s[1] = 'S';
	EQ(p[0], 'P');
}

CASE(mapping_outlives_unlink_and_close)
{
	put_file("f", "abc");
	int fd = OK(open("f", O_RDWR));
	char *m = map(fd, PAGE);
	OK(unlink("f"));
	OK(close(fd));
	EQ(m[0], 'a');
	m[0] = 'z';
	EQ(m[0], 'z');
}

CASE(mapping_updates_mtime)
{
	struct stat st;
	put_file("f", "abc");
	struct timespec old[2] = {{1000, 0}, {1000, 0}};
	int fd = OK(open("f", O_RDWR));
	OK(futimens(fd, old));
	char *m = map(fd, PAGE);
	m[0] = 'x';
	OK(msync(m, PAGE, MS_SYNC));
	OK(fstat(fd, &st));
	CHECK(st.st_mtim.tv_sec > 1000);
}

CASE(memfd_basic)
{
	struct stat st;
	char path[64], l[64] = "";
	int fd = OK(memfd_create("name", MFD_CLOEXEC));
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	OK(fstat(fd, &st));
	EQ(st.st_mode, S_IFREG | 0777);
	EQ(st.st_size, 0);
	EQ(st.st_nlink, 0);
	OK(ftruncate(fd, 2 * PAGE));
	char *m = map(fd, 2 * PAGE);
	m[PAGE] = 'm';
	char b;
	EQ(pread(fd, &b, 1, PAGE), 1);
	EQ(b, 'm');
	sprintf(path, "/proc/self/fd/%d", fd);
	OK(readlink(path, l, 63));
	STREQ(l, "/memfd:name (deleted)");
	OK(open(path, O_RDWR));
	ERR(memfd_create("x", 0x4000), EINVAL);
	char longname[300];
	memset(longname, 'n', 299);
	longname[249] = 0;
	OK(memfd_create(longname, 0));
	longname[249] = 'n', longname[250] = 0;
	ERR(memfd_create(longname, 0), EINVAL);
	ERR(memfd_create(BAD_PTR, 0), EFAULT);
}

CASE(memfd_executed)
{
	static char b[1 << 16];
	int from = OK(open("/bin/sh", O_RDONLY)), fd = OK(memfd_create("sh", MFD_CLOEXEC)), n;
	while ((n = OK(read(from, b, sizeof b))) > 0)
		EQ(write(fd, b, n), n);
	// A file that was made open for writing is not busy; one that is opened so is.
	char path[64], *argv[] = {"sh", "-c", "exit 7", NULL}, *envp[] = {NULL};
	CHILD(p)
		OK(syscall(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH));
	REAP_EXIT(p, 7);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int again = OK(open(path, O_RDWR | O_CLOEXEC));
	ERR(syscall(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH), ETXTBSY);
	OK(close(again));
}

CASE(memfd_seals)
{
	int fd = OK(memfd_create("s", MFD_ALLOW_SEALING));
	OK(ftruncate(fd, PAGE));
	EQ(fcntl(fd, F_GET_SEALS), 0);
	OK(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	ERR(ftruncate(fd, 2 * PAGE), EPERM);
	OK(ftruncate(fd, 100));
	OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	ERR(ftruncate(fd, 50), EPERM);
	EQ(fcntl(fd, F_GET_SEALS), F_SEAL_GROW | F_SEAL_SHRINK);
	char *m = map(fd, PAGE);
	ERR(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
	OK(munmap(m, PAGE));
	OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	ERR(write(fd, "x", 1), EPERM);
	ERR(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EPERM);
	OK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0));
	OK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
	OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
	ERR(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), EPERM);
	int plain = OK(memfd_create("p", 0));
	EQ(fcntl(plain, F_GET_SEALS), F_SEAL_SEAL);
	ERR(fcntl(plain, F_ADD_SEALS, F_SEAL_GROW), EPERM);
	put_file("f", "");
	int file = OK(open("f", O_RDWR)), p[2];
	OK(pipe(p));
	ERR(fcntl(p[0], F_GET_SEALS), EINVAL);
	(void)file;
}

CASE(memfd_shared_with_exec_over_fork)
{
	int fd = OK(memfd_create("m", 0));
	OK(ftruncate(fd, PAGE));
	char *m = map(fd, PAGE);
	CHILD(k) {
		char *n = map(fd, PAGE);
		n[7] = 7;
	}
	REAP(k);
	EQ(m[7], 7);
}

CASE(posix_shm_object)
{
	char name[32];
	sprintf(name, "/dev/shm/oracle.%d", getpid());
	int fd = OK(open(name, O_CREAT | O_EXCL | O_RDWR, 0600));
	OK(ftruncate(fd, PAGE));
	char *m = map(fd, PAGE);
	CHILD(k) {
		int f2 = OK(open(name, O_RDWR));
		char *n = map(f2, PAGE);
		n[0] = 'S';
	}
	REAP(k);
	EQ(m[0], 'S');
	OK(unlink(name));
	ERR(open(name, O_RDWR), ENOENT);
}

CASE(shared_mapping_protection_is_per_mapping)
{
	int fd = OK(memfd_create("m", 0));
	OK(ftruncate(fd, PAGE));
	char *rw = map(fd, PAGE), *ro = OK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0));
	rw[0] = 'a';
	EQ(ro[0], 'a');
	CHILD(k) {
		*(volatile char *)ro = 1;
	}
	REAP_SIGNAL(k, SIGSEGV);
}

CASE(punched_hole_is_seen_in_mapping)
{
	int fd = OK(memfd_create("m", 0));
	OK(ftruncate(fd, 3 * PAGE));
	char *m = map(fd, 3 * PAGE);
	memset(m, 'x', 3 * PAGE);
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, PAGE));
	EQ(m[0], 'x');
	EQ(m[PAGE], 0);
	EQ(m[2 * PAGE], 'x');
}

CASE(large_shared_file_mapping)
{
	size_t n = 32 << 20;
	int fd = OK(open("big", O_CREAT | O_RDWR, 0600));
	OK(ftruncate(fd, n));
	unsigned *m = (unsigned *)map(fd, n);
	for (size_t i = 0; i < n / 4; i += 1024)
		m[i] = i;
	unsigned v;
	for (size_t i = 0; i < n / 4; i += 10240) {
		EQ(pread(fd, &v, 4, i * 4), 4);
		EQ(v, i / 1024 * 1024 == i ? i : 0);
	}
}
