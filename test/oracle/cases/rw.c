// read(2), write(2), pread(2), pwrite(2), readv(2), writev(2), preadv2(2), lseek(2),
// truncate(2), fallocate(2), sendfile(2), copy_file_range(2) on regular files.
#include "oracle.h"
#include <linux/falloc.h>
#include <sys/sendfile.h>

CASE(rw_offsets)
{
	char b[16] = "";
	int fd = OK(open("f", O_CREAT | O_RDWR, 0600));
	EQ(write(fd, "hello world", 11), 11);
	EQ(lseek(fd, 0, SEEK_CUR), 11);
	EQ(read(fd, b, 16), 0);
	EQ(lseek(fd, 6, SEEK_SET), 6);
	EQ(read(fd, b, 3), 3);
	EQ(memcmp(b, "wor", 3), 0);
	EQ(pread(fd, b, 5, 0), 5);
	EQ(memcmp(b, "hello", 5), 0);
	EQ(lseek(fd, 0, SEEK_CUR), 9);
	EQ(pwrite(fd, "J", 1, 0), 1);
	EQ(lseek(fd, 0, SEEK_CUR), 9);
	EQ(pread(fd, b, 16, 11), 0);
	EQ(pread(fd, b, 16, 1000), 0);
	EQ(write(fd, "", 0), 0);
}

CASE(rw_bad_arguments)
{
	char b[4];
	put_file("f", "abc");
	int fd = OK(open("f", O_RDWR));
	ERR(read(999, b, 1), EBADF);
	ERR(write(-1, b, 1), EBADF);
	ERR(read(fd, BAD_PTR, 1), EFAULT);
	ERR(write(fd, BAD_PTR, 1), EFAULT);
	EQ(read(fd, BAD_PTR, 0), 0);
	ERR(pread(fd, b, 1, -1), EINVAL);
	ERR(pwrite(fd, b, 1, -1), EINVAL);
	ERR(read(fd, (void *)-4096, 1), EFAULT);
	EQ(lseek(fd, 0, SEEK_CUR), 0);
	EQ(lseek(fd, 3, SEEK_SET), 3);
	EQ(read(fd, BAD_PTR, 1), 0); // at the end nothing is copied
	ERR(read(fd, b, (size_t)-1), EFAULT);
}

CASE(rw_partial_fault)
{
	char *m = OK(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	OK(munmap(m + 4096, 4096));
	memset(m, 'x', 4096);
	int fd = OK(open("f", O_CREAT | O_RDWR, 0600));
	EQ(write(fd, m + 4096 - 10, 20), 10);
	EQ(lseek(fd, 0, SEEK_CUR), 10);
	EQ(ftruncate(fd, 100), 0);
	EQ(lseek(fd, 0, SEEK_SET), 0);
	EQ(read(fd, m + 4096 - 10, 20), 10);
}

CASE(rw_read_only_buffer)
{
	char *m = OK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	char *n = OK(mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	put_file("f", "abc");
	int fd = OK(open("f", O_RDWR));
	ERR(read(fd, m, 3), EFAULT);
	ERR(read(fd, n, 3), EFAULT);
	EQ(write(fd, m, 3), 3);
	ERR(write(fd, n, 3), EFAULT);
}

CASE(lseek_whence)
{
	put_file("f", "0123456789");
	int fd = OK(open("f", O_RDWR));
	EQ(lseek(fd, -3, SEEK_END), 7);
	EQ(lseek(fd, 2, SEEK_CUR), 9);
	EQ(lseek(fd, 100, SEEK_SET), 100);
	ERR(lseek(fd, -1, SEEK_SET), EINVAL);
	ERR(lseek(fd, -101, SEEK_CUR), EINVAL);
	EQ(lseek(fd, 0, SEEK_CUR), 100);
	ERR(lseek(fd, 0, 99), EINVAL);
	ERR(lseek(999, 0, SEEK_SET), EBADF);
	EQ(write(fd, "x", 1), 1);
	struct stat st;
	OK(fstat(fd, &st));
	EQ(st.st_size, 101);
	char b[101];
	EQ(pread(fd, b, 101, 0), 101);
	EQ(b[50], 0);
	ERR(lseek(fd, LLONG_MAX, SEEK_CUR), EINVAL);
}

CASE(lseek_data_and_hole)
{
	int fd = OK(open("f", O_CREAT | O_RDWR, 0600));
	OK(ftruncate(fd, 1 << 20));
	EQ(pwrite(fd, "x", 1, 512 << 10), 1);
	EQ(lseek(fd, 0, SEEK_HOLE), 0);
	EQ(lseek(fd, 0, SEEK_DATA), 512 << 10);
	EQ(lseek(fd, 512 << 10, SEEK_HOLE), (512 << 10) + 4096);
	ERR(lseek(fd, 600 << 10, SEEK_DATA), ENXIO);
	ERR(lseek(fd, 1 << 20, SEEK_HOLE), ENXIO);
	EQ(lseek(fd, 600 << 10, SEEK_HOLE), 600 << 10);
}

CASE(lseek_unseekable)
{
	int p[2], s[2];
	OK(pipe(p));
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	ERR(lseek(p[0], 0, SEEK_SET), ESPIPE);
	ERR(lseek(s[0], 0, SEEK_CUR), ESPIPE);
	char b;
	ERR(pread(p[0], &b, 1, 0), ESPIPE);
	ERR(pwrite(p[1], &b, 1, 0), ESPIPE);
}

CASE(rw_shared_offset)
{
	char b[4];
	put_file("f", "0123456789");
	int a = OK(open("f", O_RDONLY)), d = OK(dup(a)), o = OK(open("f", O_RDONLY));
	EQ(read(a, b, 4), 4);
	EQ(lseek(d, 0, SEEK_CUR), 4);
	EQ(lseek(o, 0, SEEK_CUR), 0);
	CHILD(k) {
		EQ(read(d, b, 2), 2);
	}
	REAP(k);
	EQ(lseek(a, 0, SEEK_CUR), 6);
}

CASE(readv_writev_basic)
{
	char a[4] = "", b[8] = "";
	int fd = OK(open("f", O_CREAT | O_RDWR, 0600));
	struct iovec w[3] = {{"abc", 3}, {NULL, 0}, {"defg", 4}};
	EQ(writev(fd, w, 3), 7);
	EQ(lseek(fd, 0, SEEK_SET), 0);
	struct iovec r[2] = {{a, 2}, {b, 8}};
	EQ(readv(fd, r, 2), 7);
	EQ(memcmp(a, "ab", 2), 0);
	EQ(memcmp(b, "cdefg", 5), 0);
	EQ(readv(fd, r, 0), 0);
	EQ(preadv(fd, r, 2, 5), 2);
	EQ(pwritev(fd, w, 1, 100), 3);
	ERR(preadv(fd, r, 2, -1), EINVAL);
}

CASE(iovec_limits)
{
	char c = 'c';
	int fd = OK(open("f", O_CREAT | O_RDWR, 0600));
	struct iovec *v = calloc(1025, sizeof *v);
	for (int i = 0; i < 1025; i++)
		v[i] = (struct iovec){&c, 1};
	EQ(writev(fd, v, 1024), 1024);
	ERR(writev(fd, v, 1025), EINVAL);
	ERR(writev(fd, v, -1), EINVAL);
	ERR(writev(fd, BAD_PTR, 1), EFAULT);
	struct iovec neg[2] = {{&c, 1}, {&c, (size_t)-1}};
	ERR(writev(fd, neg, 2), EINVAL);
	struct iovec bad[2] = {{&c, 1}, {BAD_PTR, 1}};
	EQ(writev(fd, bad, 2), 1);
	struct iovec bad0[2] = {{BAD_PTR, 1}, {&c, 1}};
	ERR(writev(fd, bad0, 2), EFAULT);
}

CASE(preadv2_flags)
{
	char b[8];
	put_file("f", "abcdef");
	int fd = OK(open("f", O_RDWR));
	struct iovec v = {b, 3};
	EQ(preadv2(fd, &v, 1, -1, 0), 3); // offset -1 uses and moves the file's position
	EQ(lseek(fd, 0, SEEK_CUR), 3);
	EQ(preadv2(fd, &v, 1, 1, 0), 3);
	EQ(lseek(fd, 0, SEEK_CUR), 3);
	ERR(preadv2(fd, &v, 1, 0, 1 << 30), EOPNOTSUPP);
	EQ(pwritev2(fd, &v, 1, 0, RWF_APPEND), 3);
	struct stat st;
	OK(fstat(fd, &st));
	EQ(st.st_size, 9);
	EQ(pwritev2(fd, &v, 1, 0, RWF_DSYNC | RWF_SYNC), 3);
	int p[2];
	OK(pipe(p));
	ERR(preadv2(p[0], &v, 1, -1, RWF_NOWAIT), EAGAIN);
}

CASE(truncate_semantics)
{
	struct stat st;
	char b[8];
	put_file("f", "abcdef");
	OK(truncate("f", 3));
	OK(truncate("f", 6));
	int fd = OK(open("f", O_RDWR));
	EQ(read(fd, b, 8), 6);
	EQ(memcmp(b, "abc\0\0\0", 6), 0);
	OK(ftruncate(fd, 1));
	EQ(lseek(fd, 0, SEEK_CUR), 6);
	OK(fstat(fd, &st));
	EQ(st.st_size, 1);
	ERR(ftruncate(fd, -1), EINVAL);
	ERR(truncate("f", -1), EINVAL);
	ERR(truncate("none", 0), ENOENT);
	ERR(truncate(".", 0), EISDIR);
	ERR(ftruncate(999, 0), EBADF);
	int p[2];
	OK(pipe(p));
	ERR(ftruncate(p[1], 0), EINVAL);
}

CASE(truncate_clears_setuid)
{
	struct stat st;
	put_file("f", "abc");
	OK(chown("f", 65534, 65534));
	OK(chmod("f", 06777));
	CHILD(k) {
		become_nobody();
		OK(truncate("f", 1));
		OK(stat("f", &st));
		EQ(st.st_mode & 07777, 0777);
	}
	REAP(k);
}

CASE(write_clears_setuid_for_others)
{
	struct stat st;
	put_file("f", "abc");
	OK(chmod("f", 06777));
	CHILD(k) {
		become_nobody();
		int fd = OK(open("f", O_WRONLY));
		EQ(write(fd, "x", 1), 1);
		OK(stat("f", &st));
		EQ(st.st_mode & 07777, 0777);
	}
	REAP(k);
}

CASE(fallocate_modes)
{
	struct stat st;
	char b[16];
	int fd = OK(open("f", O_CREAT | O_RDWR, 0600));
	OK(fallocate(fd, 0, 0, 10000));
	OK(fstat(fd, &st));
	EQ(st.st_size, 10000);
	CHECK(st.st_blocks >= 16);
	OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 100000));
	OK(fstat(fd, &st));
	EQ(st.st_size, 10000);
	EQ(pwrite(fd, "abcdefgh", 8, 0), 8);
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 3));
	EQ(pread(fd, b, 8, 0), 8);
	EQ(memcmp(b, "ab\0\0\0fgh", 8), 0);
	ERR(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 1), EOPNOTSUPP);
	ERR(fallocate(fd, 0, 0, 0), EINVAL);
	ERR(fallocate(fd, 0, -1, 1), EINVAL);
	int r = OK(open("f", O_RDONLY));
	ERR(fallocate(r, 0, 0, 1), EBADF);
	int p[2];
	OK(pipe(p));
	ERR(fallocate(p[1], 0, 0, 1), ESPIPE);
	int d = OK(open(".", O_RDONLY));
	ERR(fallocate(d, 0, 0, 1), EBADF);
}

CASE(sendfile_between_files)
{
	char b[16] = "";
	put_file("in", "0123456789");
	int in = OK(open("in", O_RDONLY)), out = OK(open("out", O_CREAT | O_RDWR, 0600));
	off_t off = 2;
	EQ(sendfile(out, in, &off, 3), 3);
	EQ(off, 5);
	EQ(lseek(in, 0, SEEK_CUR), 0);
	EQ(sendfile(out, in, NULL, 100), 10);
	EQ(lseek(in, 0, SEEK_CUR), 10);
	EQ(sendfile(out, in, NULL, 100), 0);
	EQ(pread(out, b, 16, 0), 13);
	STREQ(b, "2340123456789");
	off = -1;
	ERR(sendfile(out, in, &off, 1), EINVAL);
	ERR(sendfile(in, out, NULL, 1), EBADF);
	ERR(sendfile(999, in, NULL, 1), EBADF);
	int app = OK(open("app", O_CREAT | O_WRONLY | O_APPEND, 0600));
	ERR(sendfile(app, in, NULL, 1), EINVAL);
}

CASE(sendfile_to_pipe_and_socket)
{
	char b[16];
	put_file("in", "0123456789");
	int in = OK(open("in", O_RDONLY)), p[2], s[2];
	OK(pipe(p));
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	EQ(sendfile(p[1], in, NULL, 4), 4);
	EQ(read(p[0], b, 16), 4);
	EQ(sendfile(s[1], in, NULL, 100), 6);
	EQ(read(s[0], b, 16), 6);
	ERR(sendfile(s[1], p[0], NULL, 1), EINVAL);
	off_t off = 0;
	ERR(sendfile(s[1], p[0], &off, 1), ESPIPE);
}

CASE(copy_file_range_basic)
{
	char b[16] = "";
	put_file("in", "0123456789");
	int in = OK(open("in", O_RDONLY)), out = OK(open("out", O_CREAT | O_RDWR, 0600));
	off_t oi = 1, oo = 2;
	EQ(copy_file_range(in, &oi, out, &oo, 4, 0), 4);
	EQ(oi, 5);
	EQ(oo, 6);
	EQ(copy_file_range(in, NULL, out, NULL, 2, 0), 2);
	EQ(lseek(in, 0, SEEK_CUR), 2);
	EQ(lseek(out, 0, SEEK_CUR), 2);
	EQ(pread(out, b, 16, 0), 6);
	EQ(memcmp(b, "011234", 6), 0);
	oi = 100;
	EQ(copy_file_range(in, &oi, out, NULL, 1, 0), 0);
	ERR(copy_file_range(in, NULL, out, NULL, 1, 1), EINVAL);
	ERR(copy_file_range(out, NULL, in, NULL, 1, 0), EBADF);
	int d = OK(open(".", O_RDONLY));
	ERR(copy_file_range(d, NULL, out, NULL, 1, 0), EISDIR);
	oi = 0, oo = 1;
	int rw = OK(open("out", O_RDWR));
	ERR(copy_file_range(out, &oi, rw, &oo, 4, 0), EINVAL); // overlapping
}

CASE(fsync_family)
{
	int p[2], fd = OK(open("f", O_CREAT | O_RDWR, 0600));
	EQ(write(fd, "x", 1), 1);
	OK(fsync(fd));
	OK(fdatasync(fd));
	OK(syncfs(fd));
	OK(sync_file_range(fd, 0, 1, SYNC_FILE_RANGE_WRITE));
	OK(pipe(p));
	ERR(fsync(p[0]), EINVAL);
	ERR(fdatasync(p[0]), EINVAL);
	ERR(fsync(999), EBADF);
	int d = OK(open(".", O_RDONLY));
	OK(fsync(d));
}

CASE(posix_fadvise_errors)
{
	int p[2], fd = OK(open("f", O_CREAT | O_RDWR, 0600));
	EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL), 0);
	EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	EQ(posix_fadvise(fd, 0, 0, 77), EINVAL);
	EQ(posix_fadvise(999, 0, 0, 0), EBADF);
	OK(pipe(p));
	EQ(posix_fadvise(p[0], 0, 0, 0), ESPIPE);
	EQ(readahead(fd, 0, 100), 0);
	ERR(readahead(p[0], 0, 100), EINVAL);
}

CASE(large_file_offsets)
{
	struct stat st;
	int fd = OK(open("f", O_CREAT | O_RDWR, 0600));
	off_t big = 5LL << 30;
	EQ(pwrite(fd, "end", 3, big), 3);
	OK(fstat(fd, &st));
	EQ(st.st_size, big + 3);
	char b[4] = "";
	EQ(pread(fd, b, 4, big), 3);
	STREQ(b, "end");
	OK(ftruncate(fd, 0));
}

CASE(write_beyond_rlimit_fsize)
{
	CHILD(k) {
		struct rlimit { unsigned long cur, max; } rl = {10, 10};
		OK(syscall(SYS_setrlimit, 1, &rl));
		signal(SIGXFSZ, SIG_IGN);
		int fd = OK(open("f", O_CREAT | O_RDWR, 0600));
		EQ(write(fd, "0123456789abc", 13), 10);
		ERR(write(fd, "x", 1), EFBIG);
		ERR(ftruncate(fd, 11), EFBIG);
		signal(SIGXFSZ, SIG_DFL);
		write(fd, "x", 1);
		FAILF("SIGXFSZ did not come");
	}
	REAP_SIGNAL(k, SIGXFSZ);
}

CASE(write_big_buffer)
{
	size_t n = 8 << 20;
	unsigned *m = OK(mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	for (size_t i = 0; i < n / 4; i++)
		m[i] = i * 2654435761u;
	int fd = OK(open("f", O_CREAT | O_RDWR, 0600));
	EQ(write(fd, m, n), n);
	unsigned *r = OK(mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	EQ(pread(fd, r, n, 0), n);
	EQ(memcmp(m, r, n), 0);
}
