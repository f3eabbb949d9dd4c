// stat(2), statx(2), access(2), chmod(2), chown(2), utimensat(2), statfs(2).
#include "oracle.h"
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <linux/magic.h>

CASE(stat_regular_file)
{
	struct stat st, st2;
	put_file("f", "hello");
	OK(stat("f", &st));
	EQ(st.st_mode, S_IFREG | 0644);
	EQ(st.st_size, 5);
	EQ(st.st_nlink, 1);
	EQ(st.st_uid, 0);
	EQ(st.st_gid, 0);
	EQ(st.st_rdev, 0);
	CHECK(st.st_ino != 0);
	CHECK(st.st_blksize >= 512);
	OK(stat(".", &st2));
	EQ(st2.st_dev, st.st_dev);
	int fd = OK(open("f", O_RDONLY));
	OK(fstat(fd, &st2));
	EQ(st2.st_ino, st.st_ino);
}

CASE(stat_errors)
{
	struct stat st;
	put_file("f", "");
	ERR(stat("none", &st), ENOENT);
	ERR(stat("", &st), ENOENT);
	ERR(stat("f/x", &st), ENOTDIR);
	ERR(stat("f/", &st), ENOTDIR);
	ERR(stat("f/.", &st), ENOTDIR);
	ERR(syscall(SYS_stat, "f", BAD_PTR), EFAULT);
	ERR(syscall(SYS_stat, BAD_PTR, &st), EFAULT);
	ERR(syscall(SYS_fstat, 999, &st), EBADF);
	ERR(fstatat(AT_FDCWD, "f", &st, 0x40000000), EINVAL);
}

CASE(fstatat_empty_path)
{
	struct stat a, b;
	put_file("f", "abc");
	int fd = OK(open("f", O_RDONLY));
	OK(fstatat(fd, "", &a, AT_EMPTY_PATH));
	EQ(a.st_size, 3);
	OK(fstatat(AT_FDCWD, "", &a, AT_EMPTY_PATH));
	OK(stat(".", &b));
	EQ(a.st_ino, b.st_ino);
	ERR(fstatat(fd, "", &a, 0), ENOENT);
	ERR(fstatat(fd, "x", &a, 0), ENOTDIR);
}

CASE(stat_directory_links)
{
	struct stat st;
	OK(mkdir("d", 0700));
	OK(mkdir("d/a", 0700));
	OK(mkdir("d/b", 0700));
	put_file("d/f", "");
	OK(stat("d", &st));
	EQ(st.st_nlink, 4);
	EQ(st.st_mode, S_IFDIR | 0700);
	OK(rmdir("d/a"));
	OK(stat("d", &st));
	EQ(st.st_nlink, 3);
}

CASE(stat_file_types)
{
	struct stat st;
	OK(mkfifo("p", 0640));
	OK(stat("p", &st));
	EQ(st.st_mode, S_IFIFO | 0640);
	OK(mknod("s", S_IFSOCK | 0600, 0));
	OK(stat("s", &st));
	EQ(st.st_mode, S_IFSOCK | 0600);
	OK(mknod("r", 0600, 0)); // no type means a regular file
	OK(stat("r", &st));
	EQ(st.st_mode, S_IFREG | 0600);
	ERR(mknod("d", S_IFDIR | 0600, 0), EPERM);
	ERR(mknod("x", S_IFLNK | 0600, 0), EINVAL);
	ERR(mknod("p", S_IFIFO | 0600, 0), EEXIST);
	OK(stat("/dev/null", &st));
	CHECK(S_ISCHR(st.st_mode));
	EQ(major(st.st_rdev), 1);
	EQ(minor(st.st_rdev), 3);
}

CASE(mknod_needs_privilege)
{
	CHILD(k) {
		become_nobody();
		ERR(mknod("dev", S_IFCHR | 0600, makedev(1, 3)), EPERM);
		OK(mknod("fifo", S_IFIFO | 0600, 0));
		OK(mknod("reg", S_IFREG | 0600, 0));
	}
	REAP(k);
}

CASE(lstat_does_not_follow)
{
	struct stat st;
	OK(symlink("some/where", "l"));
	OK(lstat("l", &st));
	EQ(st.st_mode, S_IFLNK | 0777);
	EQ(st.st_size, 10);
	ERR(stat("l", &st), ENOENT);
	OK(mkdir("d", 0755));
	OK(symlink("d", "dl"));
	OK(lstat("dl/", &st));
	CHECK(S_ISDIR(st.st_mode));
	OK(fstatat(AT_FDCWD, "dl", &st, AT_SYMLINK_NOFOLLOW));
	CHECK(S_ISLNK(st.st_mode));
}

CASE(stat_pipe_and_socket)
{
	struct stat st;
	int p[2], s[2];
	OK(pipe(p));
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	OK(fstat(p[0], &st));
	EQ(st.st_mode, S_IFIFO | 0600);
	EQ(st.st_nlink, 1);
	EQ(st.st_size, 0);
	OK(fstat(s[0], &st));
	EQ(st.st_mode, S_IFSOCK | 0777);
}

CASE(statx_basic)
{
	struct statx sx;
	struct stat st;
	put_file("f", "hello");
	OK(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS, &sx));
	OK(stat("f", &st));
	EQ(sx.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
	EQ(sx.stx_mode, S_IFREG | 0644);
	EQ(sx.stx_size, 5);
	EQ(sx.stx_ino, st.st_ino);
	EQ(sx.stx_nlink, 1);
	EQ(sx.stx_dev_major, major(st.st_dev));
	EQ(sx.stx_dev_minor, minor(st.st_dev));
	EQ(sx.stx_mtime.tv_sec, st.st_mtim.tv_sec);
	EQ(sx.stx_mtime.tv_nsec, st.st_mtim.tv_nsec);
	int fd = OK(open("f", O_RDONLY));
	OK(statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &sx));
	EQ(sx.stx_size, 5);
}

CASE(statx_errors)
{
	struct statx sx;
	ERR(statx(AT_FDCWD, "none", 0, STATX_ALL, &sx), ENOENT);
	ERR(statx(AT_FDCWD, ".", 0x40000000, STATX_ALL, &sx), EINVAL);
	ERR(statx(AT_FDCWD, ".", 0, 0x80000000u, &sx), EINVAL);
	ERR(statx(AT_FDCWD, ".", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_ALL, &sx), EINVAL);
	ERR(statx(999, "x", 0, STATX_ALL, &sx), EBADF);
	ERR(syscall(SYS_statx, AT_FDCWD, ".", 0, STATX_ALL, BAD_PTR), EFAULT);
}

CASE(access_modes)
{
	put_file("f", "");
	OK(chmod("f", 0640));
	OK(access("f", F_OK));
	OK(access("f", R_OK | W_OK));
	ERR(access("f", X_OK), EACCES); // root too, with no execute bit at all
	OK(chmod("f", 0001));
	OK(access("f", X_OK));
	ERR(access("f", 8), EINVAL);
	ERR(access("none", F_OK), ENOENT);
	ERR(access(BAD_PTR, F_OK), EFAULT);
}

CASE(access_uses_real_ids)
{
	put_file("f", "");
	OK(chmod("f", 0600));
	CHILD(k) {
		OK(setresuid(65534, 0, 0));
		ERR(access("f", R_OK), EACCES);
		OK(syscall(SYS_faccessat2, AT_FDCWD, "f", R_OK, AT_EACCESS));
		OK(close(OK(open("f", O_RDONLY))));
	}
	REAP(k);
}

CASE(faccessat2_flags)
{
	put_file("f", "");
	OK(symlink("nowhere", "l"));
	OK(syscall(SYS_faccessat2, AT_FDCWD, "l", F_OK, AT_SYMLINK_NOFOLLOW));
	ERR(syscall(SYS_faccessat2, AT_FDCWD, "l", F_OK, 0), ENOENT);
	int fd = OK(open("f", O_PATH));
	OK(syscall(SYS_faccessat2, fd, "", R_OK, AT_EMPTY_PATH));
	ERR(syscall(SYS_faccessat2, AT_FDCWD, "f", F_OK, 0x40000000), EINVAL);
}

CASE(chmod_bits)
{
	struct stat st;
	put_file("f", "");
	OK(chmod("f", 07777));
	OK(stat("f", &st));
	EQ(st.st_mode & 07777, 07777);
	OK(chmod("f", 0170000 | 0123)); // the type bits are ignored
	OK(stat("f", &st));
	EQ(st.st_mode, S_IFREG | 0123);
	int fd = OK(open("f", O_RDONLY));
	OK(fchmod(fd, 0600));
	OK(fchmodat(AT_FDCWD, "f", 0640, 0));
	OK(fstat(fd, &st));
	EQ(st.st_mode & 07777, 0640);
	ERR(chmod("none", 0600), ENOENT);
	ERR(fchmod(999, 0600), EBADF);
}

CASE(chmod_needs_ownership)
{
	put_file("f", "");
	OK(chmod("f", 0666));
	put_file("g", "");
	OK(chown("g", 65534, 4242));
	CHILD(k) {
		struct stat st;
		become_nobody();
		ERR(chmod("f", 0777), EPERM);
		OK(chmod("g", 02755)); // not in the group: setgid is dropped
		OK(stat("g", &st));
		EQ(st.st_mode & 07777, 0755);
		OK(chmod("g", 04755));
		OK(stat("g", &st));
		EQ(st.st_mode & 07777, 04755);
	}
	REAP(k);
}

CASE(chown_semantics)
{
	struct stat st;
	put_file("f", "");
	OK(chmod("f", 06755));
	OK(chown("f", 1000, -1));
	OK(stat("f", &st));
	EQ(st.st_uid, 1000);
	EQ(st.st_gid, 0);
	EQ(st.st_mode & 07777, 0755); // set-id bits are dropped
	OK(chown("f", -1, 1001));
	OK(stat("f", &st));
	EQ(st.st_uid, 1000);
	EQ(st.st_gid, 1001);
	OK(symlink("f", "l"));
	OK(lchown("l", 5, 6));
	OK(lstat("l", &st));
	EQ(st.st_uid, 5);
	OK(stat("l", &st));
	EQ(st.st_uid, 1000);
	int fd = OK(open("f", O_RDONLY));
	OK(fchown(fd, 2, 3));
	OK(fchownat(fd, "", 4, -1, AT_EMPTY_PATH));
	OK(fstat(fd, &st));
	EQ(st.st_uid, 4);
	EQ(st.st_gid, 3);
}

CASE(chown_setgid_without_group_execute_stays)
{
	struct stat st;
	put_file("f", "");
	OK(chmod("f", 02644)); // mandatory locking's mark, not set-group-id
	OK(chown("f", 1000, 1000));
	OK(stat("f", &st));
	EQ(st.st_mode & 07777, 02644);
}

CASE(chown_unprivileged)
{
	put_file("f", "");
	put_file("g", "");
	OK(chown("g", 65534, 65534));
	CHILD(k) {
		gid_t gs[] = {777};
		OK(syscall(SYS_setgroups, 1, gs));
		OK(syscall(SYS_setresgid, 65534, 65534, 65534));
		OK(syscall(SYS_setresuid, 65534, 65534, 65534));
		ERR(chown("f", 65534, -1), EPERM);
		ERR(chown("g", 0, -1), EPERM);
		OK(chown("g", -1, 777));
		ERR(chown("g", -1, 778), EPERM);
		OK(chown("g", 65534, 65534));
	}
	REAP(k);
}

CASE(utimensat_sets_times)
{
	struct stat st;
	put_file("f", "");
	struct timespec ts[2] = {{1000, 123456789}, {2000, 987654321}};
	OK(utimensat(AT_FDCWD, "f", ts, 0));
	OK(stat("f", &st));
	EQ(st.st_atim.tv_sec, 1000);
	EQ(st.st_atim.tv_nsec, 123456789);
	EQ(st.st_mtim.tv_sec, 2000);
	EQ(st.st_mtim.tv_nsec, 987654321);
	struct timespec om[2] = {{0, UTIME_OMIT}, {5, 0}};
	OK(utimensat(AT_FDCWD, "f", om, 0));
	OK(stat("f", &st));
	EQ(st.st_atim.tv_sec, 1000);
	EQ(st.st_mtim.tv_sec, 5);
	struct timespec bad[2] = {{0, 1000000000}, {0, 0}};
	ERR(utimensat(AT_FDCWD, "f", bad, 0), EINVAL);
	time_t before = time(NULL);
	struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
	OK(utimensat(AT_FDCWD, "f", now, 0));
	OK(stat("f", &st));
	CHECK(st.st_atim.tv_sec >= before - 2 && st.st_atim.tv_sec <= time(NULL) + 2);
	EQ(st.st_mtim.tv_sec, 5);
	int fd = OK(open("f", O_RDONLY));
	OK(futimens(fd, ts));
	OK(symlink("f", "l"));
	OK(utimensat(AT_FDCWD, "l", om, AT_SYMLINK_NOFOLLOW));
	OK(stat("f", &st));
	EQ(st.st_mtim.tv_sec, 2000);
	OK(lstat("l", &st));
	EQ(st.st_mtim.tv_sec, 5);
}

CASE(utimensat_permission)
{
	put_file("mine", "");
	OK(chmod("mine", 0666));
	put_file("ro", "");
	CHILD(k) {
		become_nobody();
		struct timespec ts[2] = {{1, 0}, {2, 0}};
		ERR(utimensat(AT_FDCWD, "mine", ts, 0), EPERM);
		OK(utimensat(AT_FDCWD, "mine", NULL, 0));
		ERR(utimensat(AT_FDCWD, "ro", NULL, 0), EACCES);
		struct timespec om[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
		OK(utimensat(AT_FDCWD, "ro", om, 0));
	}
	REAP(k);
}

CASE(times_change_with_operations)
{
	struct stat a, b;
	struct timespec old[2] = {{1000, 0}, {1000, 0}};
	put_file("f", "abc");
	OK(mkdir("d", 0755));
	OK(utimensat(AT_FDCWD, "f", old, 0));
	OK(utimensat(AT_FDCWD, "d", old, 0));
	OK(stat("f", &a));
	CHECK(a.st_ctim.tv_sec > 1000);
	msleep(20);
	OK(chmod("f", 0600));
	OK(stat("f", &b));
	EQ(b.st_mtim.tv_sec, 1000);
	CHECK(b.st_ctim.tv_sec > a.st_ctim.tv_sec || b.st_ctim.tv_nsec > a.st_ctim.tv_nsec);
	int fd = OK(open("f", O_WRONLY));
	EQ(write(fd, "", 0), 0);
	OK(stat("f", &b));
	EQ(b.st_mtim.tv_sec, 1000);
	EQ(write(fd, "x", 1), 1);
	OK(stat("f", &b));
	CHECK(b.st_mtim.tv_sec > 1000);
	put_file("d/new", "");
	OK(stat("d", &b));
	CHECK(b.st_mtim.tv_sec > 1000);
	OK(utimensat(AT_FDCWD, "d", old, 0));
	OK(unlink("d/new"));
	OK(stat("d", &b));
	CHECK(b.st_mtim.tv_sec > 1000);
}

CASE(relatime_updates_atime)
{
	struct stat st;
	char b[4];
	put_file("f", "abc");
	struct timespec old[2] = {{1000, 0}, {2000, 0}};
	OK(utimensat(AT_FDCWD, "f", old, 0));
	int fd = OK(open("f", O_RDONLY));
	EQ(read(fd, b, 4), 3);
	OK(stat("f", &st));
	CHECK(st.st_atim.tv_sec > 2000);
	OK(utimensat(AT_FDCWD, "f", old, 0));
	int na = OK(open("f", O_RDONLY | O_NOATIME));
	EQ(read(na, b, 4), 3);
	OK(stat("f", &st));
	EQ(st.st_atim.tv_sec, 1000);
	CHILD(k) {
		become_nobody();
		ERR(open("f", O_RDONLY | O_NOATIME), EPERM);
	}
	REAP(k);
}

CASE(statfs_fields)
{
	struct statfs s, t;
	OK(statfs(".", &s));
	CHECK(s.f_bsize >= 512);
	CHECK(s.f_blocks > 0);
	CHECK(s.f_bfree <= s.f_blocks);
	CHECK(s.f_bavail <= s.f_bfree);
	EQ(s.f_namelen, 255);
	int fd = OK(open(".", O_RDONLY));
	OK(fstatfs(fd, &t));
	EQ(t.f_type, s.f_type);
	ERR(statfs("none", &s), ENOENT);
	ERR(statfs(".", BAD_PTR), EFAULT);
	ERR(fstatfs(999, &s), EBADF);
}

CASE(statfs_magic_numbers)
{
	struct statfs s;
	OK(statfs("/proc", &s));
	EQ(s.f_type, PROC_SUPER_MAGIC);
	OK(statfs("/dev/shm", &s));
	EQ(s.f_type, TMPFS_MAGIC);
	OK(statfs("/dev/pts", &s));
	EQ(s.f_type, DEVPTS_SUPER_MAGIC);
	int p[2];
	OK(pipe(p));
	OK(fstatfs(p[0], &s));
	EQ(s.f_type, PIPEFS_MAGIC);
	int k = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	OK(fstatfs(k, &s));
	EQ(s.f_type, SOCKFS_MAGIC);
}

CASE(stat_proc_self_fd_of_pipe)
{
	struct stat a, b;
	char path[64], l[64] = "";
	int p[2];
	OK(pipe(p));
	OK(fstat(p[0], &a));
	sprintf(path, "/proc/self/fd/%d", p[0]);
	OK(stat(path, &b));
	EQ(a.st_ino, b.st_ino);
	OK(readlink(path, l, 63));
	char want[64];
	sprintf(want, "pipe:[%lu]", a.st_ino);
	STREQ(l, want);
}
