// open(2), openat(2), openat2(2), creat(2), close(2), O_* flags, truncation, umask(2).
#include "oracle.h"
#include <linux/openat2.h>

CASE(open_missing_file)
{
	ERR(open("none", O_RDONLY), ENOENT);
	ERR(open("none/x", O_RDONLY), ENOENT);
	ERR(open("", O_RDONLY), ENOENT);
	ERR(open(BAD_PTR, O_RDONLY), EFAULT);
	ERR(open("none/x", O_RDWR | O_CREAT, 0600), ENOENT);
}

CASE(open_creates_with_mode_and_umask)
{
	struct stat st;
	umask(027);
	int fd = OK(open("a", O_RDWR | O_CREAT, 0777));
	OK(fstat(fd, &st));
	EQ(st.st_mode, S_IFREG | 0750);
	EQ(st.st_size, 0);
	EQ(st.st_nlink, 1);
	EQ(st.st_uid, geteuid());
	EQ(umask(0), 027);
	EQ(umask(01777), 0);
	EQ(umask(022), 0777);
}

CASE(open_excl)
{
	OK(close(OK(open("a", O_CREAT | O_EXCL | O_WRONLY, 0600))));
	ERR(open("a", O_CREAT | O_EXCL | O_WRONLY, 0600), EEXIST);
	OK(symlink("nowhere", "l"));
	ERR(open("l", O_CREAT | O_EXCL | O_WRONLY, 0600), EEXIST);
	OK(mkdir("d", 0700));
	ERR(open("d", O_CREAT | O_EXCL | O_WRONLY, 0600), EEXIST);
}

CASE(open_trunc)
{
	struct stat st;
	put_file("a", "hello");
	OK(close(OK(open("a", O_WRONLY))));
	OK(stat("a", &st));
	EQ(st.st_size, 5);
	OK(close(OK(open("a", O_WRONLY | O_TRUNC))));
	OK(stat("a", &st));
	EQ(st.st_size, 0);
}

CASE(open_directory)
{
	char b[8];
	OK(mkdir("d", 0755));
	put_file("f", "x");
	ERR(open("d", O_WRONLY), EISDIR);
	ERR(open("d", O_RDWR), EISDIR);
	ERR(open("d", O_RDONLY | O_CREAT, 0600), EISDIR);
	ERR(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
	ERR(open("f/", O_RDONLY), ENOTDIR);
	ERR(open("f/x", O_RDONLY), ENOTDIR);
	int fd = OK(open("d", O_RDONLY | O_DIRECTORY));
	ERR(read(fd, b, 8), EISDIR);
	ERR(write(fd, b, 8), EBADF);
	ERR(ftruncate(fd, 0), EINVAL);
}

CASE(open_creat_trailing_slash)
{
	ERR(open("new/", O_CREAT | O_WRONLY, 0600), EISDIR);
	ERR(open(".", O_CREAT | O_WRONLY, 0600), EISDIR);
	ERR(open("..", O_CREAT | O_EXCL | O_WRONLY, 0600), EEXIST);
}

CASE(open_nofollow)
{
	put_file("f", "x");
	OK(symlink("f", "l"));
	ERR(open("l", O_RDONLY | O_NOFOLLOW), ELOOP);
	int fd = OK(open("l", O_PATH | O_NOFOLLOW));
	struct stat st;
	OK(fstat(fd, &st));
	CHECK(S_ISLNK(st.st_mode));
	char b[8] = "";
	EQ(readlinkat(fd, "", b, 8), 1);
	STREQ(b, "f");
	OK(symlink(".", "dl"));
	OK(open("dl/f", O_RDONLY | O_NOFOLLOW));
	ERR(open("dl", O_RDONLY | O_NOFOLLOW | O_DIRECTORY), ENOTDIR);
}

CASE(open_symlink_loop)
{
	OK(symlink("b", "a"));
	OK(symlink("a", "b"));
	ERR(open("a", O_RDONLY), ELOOP);
	ERR(open("a/x", O_RDONLY), ELOOP);
	char n[16], t[16];
	put_file("s0", "x");
	for (int i = 1; i <= 41; i++) {
		sprintf(n, "s%d", i);
		sprintf(t, "s%d", i - 1);
		OK(symlink(t, n));
	}
	OK(open("s40", O_RDONLY));
	ERR(open("s41", O_RDONLY), ELOOP);
}

CASE(open_dangling_symlink_creates_target)
{
	struct stat st;
	OK(symlink("target", "l"));
	ERR(open("l", O_RDONLY), ENOENT);
	OK(close(OK(open("l", O_CREAT | O_WRONLY, 0600))));
	OK(lstat("target", &st));
	CHECK(S_ISREG(st.st_mode));
	OK(lstat("l", &st));
	CHECK(S_ISLNK(st.st_mode));
}

CASE(open_lowest_descriptor)
{
	int a = OK(open("/", O_RDONLY)), b = OK(open("/", O_RDONLY)), c = OK(open("/", O_RDONLY));
	EQ(b, a + 1);
	EQ(c, b + 1);
	OK(close(b));
	EQ(open("/", O_RDONLY), b);
	OK(close(a));
	OK(close(b));
	EQ(dup(c), a);
	int p[2];
	OK(pipe(p));
	EQ(p[0], b);
	EQ(p[1], c + 1);
}

CASE(open_access_modes)
{
	char b[4];
	put_file("f", "abc");
	int r = OK(open("f", O_RDONLY)), w = OK(open("f", O_WRONLY));
	ERR(write(r, "x", 1), EBADF);
	ERR(read(w, b, 1), EBADF);
	ERR(ftruncate(r, 0), EINVAL);
	EQ(read(r, b, 4), 3);
	int n = OK(open("f", 3)); // neither reading nor writing
	ERR(read(n, b, 1), EBADF);
	ERR(write(n, b, 1), EBADF);
	EQ(fcntl(n, F_GETFL) & O_ACCMODE, 3);
}

CASE(open_path_descriptor)
{
	char b[4];
	struct stat st;
	put_file("f", "abc");
	OK(mkdir("d", 0755));
	int fd = OK(open("f", O_PATH | O_RDWR | O_CREAT | O_TRUNC));
	ERR(read(fd, b, 1), EBADF);
	ERR(write(fd, b, 1), EBADF);
	ERR(lseek(fd, 0, SEEK_SET), EBADF);
	ERR(ftruncate(fd, 0), EBADF);
	ERR(fchmod(fd, 0600), EBADF);
	ERR(fchown(fd, 0, 0), EBADF);
	ERR(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0), EBADF);
	ERR(fcntl(fd, F_SETFL, O_APPEND), EBADF);
	EQ(fcntl(fd, F_GETFL), O_PATH);
	OK(fstat(fd, &st));
	EQ(st.st_size, 3);
	int d2 = OK(dup(fd));
	OK(close(d2));
	int dir = OK(open("d", O_PATH | O_DIRECTORY));
	OK(close(OK(openat(dir, "x", O_CREAT | O_RDWR, 0600))));
	OK(fchdir(dir));
	OK(access("x", F_OK));
	ERR(close(1000), EBADF);
}

CASE(open_proc_self_fd_reopens)
{
	char path[64], b[8];
	put_file("f", "abc");
	int p = OK(open("f", O_PATH));
	sprintf(path, "/proc/self/fd/%d", p);
	int fd = OK(open(path, O_RDWR));
	EQ(read(fd, b, 8), 3);
	EQ(write(fd, "d", 1), 1);
	OK(unlink("f"));
	int again = OK(open(path, O_RDONLY));
	EQ(read(again, b, 8), 4);
	EQ(b[3], 'd');
}

CASE(openat_directory_descriptor)
{
	OK(mkdir("d", 0755));
	put_file("d/f", "x");
	put_file("g", "x");
	int d = OK(open("d", O_RDONLY)), g = OK(open("g", O_RDONLY));
	OK(openat(d, "f", O_RDONLY));
	OK(openat(d, "../g", O_RDONLY));
	OK(openat(AT_FDCWD, "d/f", O_RDONLY));
	ERR(openat(g, "f", O_RDONLY), ENOTDIR);
	ERR(openat(999, "f", O_RDONLY), EBADF);
	ERR(openat(d, "", O_RDONLY), ENOENT);
	OK(openat(999, "/", O_RDONLY)); // an absolute path does not look at it
	OK(rename("d", "e"));
	OK(openat(d, "f", O_RDONLY));
}

CASE(openat_removed_directory)
{
	OK(mkdir("d", 0755));
	int d = OK(open("d", O_RDONLY));
	OK(rmdir("d"));
	ERR(openat(d, "f", O_CREAT | O_WRONLY, 0600), ENOENT);
	ERR(mkdirat(d, "x", 0700), ENOENT);
	struct stat st;
	OK(fstat(d, &st));
	EQ(st.st_nlink, 0);
	OK(openat(d, ".", O_RDONLY));
}

CASE(open_append)
{
	char b[16];
	put_file("f", "one");
	int a = OK(open("f", O_RDWR | O_APPEND)), w = OK(open("f", O_WRONLY));
	EQ(lseek(a, 0, SEEK_CUR), 0);
	EQ(write(a, "two", 3), 3);
	EQ(lseek(a, 0, SEEK_CUR), 6);
	EQ(lseek(a, 1, SEEK_SET), 1);
	EQ(write(a, "x", 1), 1);
	EQ(lseek(a, 0, SEEK_CUR), 7);
	EQ(pwrite(a, "y", 1, 0), 1); // appended in spite of the offset, as Linux does
	EQ(lseek(a, 0, SEEK_CUR), 7);
	EQ(pwrite(w, "O", 1, 0), 1);
	EQ(get_file("f", b, 16), 8);
	STREQ(b, "Onetwoxy");
}

CASE(open_append_two_writers)
{
	char b[4200];
	OK(close(OK(creat("f", 0600))));
	pid_t p[4];
	for (int i = 0; i < 4; i++) {
		CHILD(k) {
			int fd = OK(open("f", O_WRONLY | O_APPEND));
			for (int j = 0; j < 100; j++)
				EQ(write(fd, "0123456789", 10), 10);
		}
		p[i] = k;
	}
	for (int i = 0; i < 4; i++)
		REAP(p[i]);
	EQ(get_file("f", b, sizeof b), 4000);
	for (int i = 0; i < 4000; i++)
		EQ(b[i], '0' + i % 10);
}

CASE(open_cloexec_flag)
{
	int a = OK(open("/", O_RDONLY)), b = OK(open("/", O_RDONLY | O_CLOEXEC));
	EQ(fcntl(a, F_GETFD), 0);
	EQ(fcntl(b, F_GETFD), FD_CLOEXEC);
	EQ(fcntl(b, F_GETFL) & O_CLOEXEC, 0);
}

CASE(open_getfl_flags)
{
	put_file("f", "");
	int fd = OK(open("f", O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_NONBLOCK | O_NOCTTY, 0600));
	EQ(fcntl(fd, F_GETFL), O_RDWR | O_APPEND | O_NONBLOCK | 0100000);
	OK(fcntl(fd, F_SETFL, 0));
	EQ(fcntl(fd, F_GETFL), O_RDWR | 0100000);
	int d = OK(open(".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
	EQ(fcntl(d, F_GETFL), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | 0100000);
}

CASE(open_permission_denied)
{
	put_file("secret", "x");
	OK(chmod("secret", 0));
	OK(mkdir("closed", 0700));
	put_file("closed/f", "x");
	OK(mkdir("shut", 0755));
	int fd = OK(open("secret", O_RDWR)); // root may
	OK(close(fd));
	CHILD(k) {
		become_nobody();
		ERR(open("secret", O_RDONLY), EACCES);
		ERR(open("secret", O_WRONLY), EACCES);
		ERR(open("closed/f", O_RDONLY), EACCES);
		ERR(open("closed/none", O_RDONLY), EACCES);
		ERR(open("shut/new", O_CREAT | O_WRONLY, 0600), EACCES);
		OK(open("secret", O_PATH));
		OK(open("own", O_CREAT | O_RDWR, 0)); // mode 0 does not hinder the creator
		ERR(open("own", O_RDONLY), EACCES);
	}
	REAP(k);
}

CASE(open_group_permission_class)
{
	put_file("f", "x");
	OK(chown("f", 65534, 0));
	OK(chmod("f", 0044)); // owner class has nothing, others may read
	put_file("g", "x");
	OK(chown("g", 0, 65534));
	OK(chmod("g", 0606));
	CHILD(k) {
		become_nobody();
		ERR(open("f", O_RDONLY), EACCES);
		ERR(open("g", O_RDONLY), EACCES);
	}
	REAP(k);
}

CASE(open_name_too_long)
{
	char name[300], *path = malloc(5000);
	memset(name, 'n', 299);
	name[255] = 0;
	OK(close(OK(open(name, O_CREAT | O_WRONLY, 0600))));
	OK(unlink(name));
	memset(name, 'n', 299);
	name[256] = 0;
	ERR(open(name, O_CREAT | O_WRONLY, 0600), ENAMETOOLONG);
	memset(path, '/', 4999);
	path[4095] = 0;
	OK(open(path, O_RDONLY));
	path[4095] = '/';
	path[4096] = 0;
	ERR(open(path, O_RDONLY), ENAMETOOLONG);
}

CASE(open_tmpfile)
{
	int fd = open(".", O_TMPFILE | O_RDWR, 0640);
	if (fd < 0 && errno == EOPNOTSUPP)
		SKIP("file system without O_TMPFILE");
	CHECK(fd >= 0);
	struct stat st;
	OK(fstat(fd, &st));
	EQ(st.st_nlink, 0);
	EQ(st.st_mode, S_IFREG | 0640);
	EQ(write(fd, "x", 1), 1);
	char path[64];
	sprintf(path, "/proc/self/fd/%d", fd);
	OK(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	OK(stat("named", &st));
	EQ(st.st_size, 1);
	EQ(st.st_nlink, 1);
	ERR(open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL);
}

CASE(openat2_arguments)
{
	struct open_how how = {.flags = O_RDONLY};
	put_file("f", "x");
	OK(syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof how));
	ERR(syscall(SYS_openat2, AT_FDCWD, "f", &how, 8), EINVAL);
	how.mode = 0600;
	ERR(syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof how), EINVAL);
	how.mode = 0;
	how.flags = 1ULL << 40;
	ERR(syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof how), EINVAL);
	how.flags = 0;
	how.resolve = 1ULL << 40;
	ERR(syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof how), EINVAL);
	char big[64] = {0};
	OK(syscall(SYS_openat2, AT_FDCWD, "f", big, sizeof big));
	big[40] = 1;
	ERR(syscall(SYS_openat2, AT_FDCWD, "f", big, sizeof big), E2BIG);
	ERR(syscall(SYS_openat2, AT_FDCWD, "f", BAD_PTR, sizeof how), EFAULT);
}

CASE(openat2_resolve_flags)
{
	struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
	OK(mkdir("d", 0755));
	put_file("d/f", "x");
	put_file("g", "x");
	OK(symlink("../g", "d/up"));
	OK(symlink("f", "d/l"));
	int d = OK(open("d", O_RDONLY));
	OK(syscall(SYS_openat2, d, "f", &how, sizeof how));
	OK(syscall(SYS_openat2, d, "l", &how, sizeof how));
	ERR(syscall(SYS_openat2, d, "../g", &how, sizeof how), EXDEV);
	ERR(syscall(SYS_openat2, d, "up", &how, sizeof how), EXDEV);
	ERR(syscall(SYS_openat2, d, "/f", &how, sizeof how), EXDEV);
	how.resolve = RESOLVE_IN_ROOT;
	OK(syscall(SYS_openat2, d, "/f", &how, sizeof how));
	ERR(syscall(SYS_openat2, d, "../g", &how, sizeof how), ENOENT);
	how.resolve = RESOLVE_NO_SYMLINKS;
	ERR(syscall(SYS_openat2, d, "l", &how, sizeof how), ELOOP);
	OK(syscall(SYS_openat2, d, "f", &how, sizeof how));
	how.resolve = RESOLVE_NO_MAGICLINKS;
	OK(syscall(SYS_openat2, d, "l", &how, sizeof how));
	ERR(syscall(SYS_openat2, AT_FDCWD, "/proc/self/exe", &how, sizeof how), ELOOP);
}

CASE(close_errors)
{
	int fd = OK(open("/", O_RDONLY));
	EQ(close(fd), 0);
	ERR(close(fd), EBADF);
	ERR(close(-1), EBADF);
	ERR(close(INT_MAX), EBADF);
}

CASE(unlinked_file_stays_usable)
{
	char b[8] = "";
	struct stat st;
	int fd = OK(open("f", O_CREAT | O_RDWR, 0600));
	OK(unlink("f"));
	EQ(write(fd, "abc", 3), 3);
	EQ(pread(fd, b, 8, 0), 3);
	STREQ(b, "abc");
	OK(fstat(fd, &st));
	EQ(st.st_nlink, 0);
	EQ(st.st_size, 3);
	int other = OK(open("f", O_CREAT | O_RDWR, 0600));
	OK(fstat(other, &st));
	EQ(st.st_size, 0);
}

CASE(open_fifo_nonblocking)
{
	OK(mkfifo("p", 0600));
	ERR(open("p", O_WRONLY | O_NONBLOCK), ENXIO);
	int r = OK(open("p", O_RDONLY | O_NONBLOCK));
	int w = OK(open("p", O_WRONLY | O_NONBLOCK));
	char b[4];
	ERR(read(r, b, 4), EAGAIN);
	EQ(write(w, "x", 1), 1);
	EQ(read(r, b, 4), 1);
	OK(close(w));
	EQ(read(r, b, 4), 0);
}

CASE(open_fifo_blocks_for_peer)
{
	OK(mkfifo("p", 0600));
	CHILD(k) {
		int w = OK(open("p", O_WRONLY));
		EQ(write(w, "hi", 2), 2);
	}
	char b[4];
	int r = OK(open("p", O_RDONLY));
	EQ(read(r, b, 4), 2);
	EQ(read(r, b, 4), 0);
	REAP(k);
}

CASE(open_fifo_interrupted)
{
	OK(mkfifo("p", 0600));
	start_ticks(0);
	ERR(open("p", O_RDONLY), EINTR);
	stop_ticks();
}

CASE(open_socket_file)
{
	OK(mknod("s", S_IFSOCK | 0600, 0));
	ERR(open("s", O_RDWR), ENXIO);
	OK(open("s", O_PATH));
}

CASE(creat_is_write_only_truncating)
{
	char b[2];
	put_file("f", "abc");
	int fd = OK(creat("f", 0600));
	EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_WRONLY);
	ERR(read(fd, b, 1), EBADF);
	struct stat st;
	OK(fstat(fd, &st));
	EQ(st.st_size, 0);
	EQ(st.st_mode & 0777, 0644); // the mode of an existing file stays
}

CASE(open_directory_tmp_setgid)
{
	struct stat st;
	OK(mkdir("d", 0755));
	OK(chown("d", 0, 1234));
	OK(chmod("d", 02775));
	put_file("d/f", "");
	OK(mkdir("d/s", 0755));
	OK(stat("d/f", &st));
	EQ(st.st_gid, 1234);
	OK(stat("d/s", &st));
	EQ(st.st_gid, 1234);
	EQ(st.st_mode & 07777, 02755);
}
