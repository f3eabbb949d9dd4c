// rename(2), renameat2(2).
#include "oracle.h"

static ino_t inode(const char *p)
{
	struct stat st;
	OK(lstat(p, &st));
	return st.st_ino;
}

CASE(rename_file)
{
	char b[8];
	put_file("a", "aaa");
	ino_t i = inode("a");
	OK(rename("a", "b"));
	ERR(access("a", F_OK), ENOENT);
	EQ(inode("b"), i);
	get_file("b", b, 8);
	STREQ(b, "aaa");
}

CASE(rename_replaces)
{
	char b[8];
	put_file("a", "aaa");
	put_file("b", "bbb");
	int fd = OK(open("b", O_RDONLY));
	OK(rename("a", "b"));
	get_file("b", b, 8);
	STREQ(b, "aaa");
	EQ(read(fd, b, 8), 3);
	EQ(b[0], 'b');
	struct stat st;
	OK(fstat(fd, &st));
	EQ(st.st_nlink, 0);
}

CASE(rename_same_inode_does_nothing)
{
	put_file("a", "x");
	OK(link("a", "b"));
	OK(rename("a", "b"));
	OK(access("a", F_OK));
	OK(access("b", F_OK));
	OK(rename("a", "a"));
}

CASE(rename_errors)
{
	put_file("f", "");
	OK(mkdir("d", 0755));
	OK(mkdir("full", 0755));
	put_file("full/x", "");
	ERR(rename("none", "x"), ENOENT);
	ERR(rename("f", "none/x"), ENOENT);
	ERR(rename("f", "d"), EISDIR);
	ERR(rename("d", "f"), ENOTDIR);
	ERR(rename("d", "full"), ENOTEMPTY);
	ERR(rename("full", "full/x/y"), ENOTDIR);
	ERR(rename("d", "d/sub"), EINVAL);
	ERR(rename("f", "x/"), ENOTDIR);
	ERR(rename("f/", "x"), ENOTDIR);
	ERR(rename(".", "x"), EBUSY);
	ERR(rename("d", ".."), EBUSY);
	ERR(rename("", "x"), ENOENT);
	ERR(rename("f", ""), ENOENT);
	ERR(rename(BAD_PTR, "x"), EFAULT);
	OK(rename("d", "e/"));
}

CASE(rename_directory)
{
	struct stat st;
	OK(mkdir("a", 0755));
	OK(mkdir("a/b", 0755));
	put_file("a/b/f", "x");
	OK(mkdir("c", 0755));
	OK(rename("a/b", "c"));
	OK(access("c/f", F_OK));
	OK(stat("a", &st));
	EQ(st.st_nlink, 2);
	OK(mkdir("p", 0755));
	OK(rename("c", "p/c"));
	ino_t i = inode("p");
	OK(stat("p/c/..", &st));
	EQ(st.st_ino, i);
}

CASE(rename_parent_into_child)
{
	OK(mkdir("a", 0755));
	OK(mkdir("a/b", 0755));
	OK(mkdir("a/b/c", 0755));
	ERR(rename("a", "a/b/c/d"), EINVAL);
	ERR(rename("a/b/c", "a"), ENOTEMPTY);
}

CASE(rename_symlink_itself)
{
	char b[8] = "";
	put_file("t", "x");
	OK(symlink("t", "l"));
	OK(rename("l", "m"));
	EQ(readlink("m", b, 8), 1);
	OK(access("t", F_OK));
	put_file("n", "y");
	OK(rename("n", "m")); // replaces the link, not its target
	get_file("t", b, 8);
	STREQ(b, "x");
}

CASE(renameat2_noreplace)
{
	put_file("a", "a");
	put_file("b", "b");
	ERR(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), EEXIST);
	OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE));
	OK(access("c", F_OK));
	ERR(renameat2(AT_FDCWD, "b", AT_FDCWD, "x", 0x80), EINVAL);
	ERR(renameat2(AT_FDCWD, "b", AT_FDCWD, "x", RENAME_NOREPLACE | RENAME_EXCHANGE), EINVAL);
}

CASE(renameat2_exchange)
{
	put_file("a", "a");
	OK(mkdir("d", 0755));
	put_file("d/x", "");
	ino_t a = inode("a"), d = inode("d");
	OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "d", RENAME_EXCHANGE));
	EQ(inode("a"), d);
	EQ(inode("d"), a);
	OK(access("a/x", F_OK));
	ERR(renameat2(AT_FDCWD, "a", AT_FDCWD, "none", RENAME_EXCHANGE), ENOENT);
}

CASE(renameat_directory_descriptors)
{
	OK(mkdir("p", 0755));
	OK(mkdir("q", 0755));
	put_file("p/f", "x");
	int p = OK(open("p", O_RDONLY)), q = OK(open("q", O_PATH));
	OK(renameat(p, "f", q, "g"));
	OK(access("q/g", F_OK));
	ERR(renameat(999, "f", q, "g"), EBADF);
	ERR(renameat(p, "none", q, "g"), ENOENT);
}

CASE(rename_sticky_directory)
{
	OK(mkdir("t", 01777));
	OK(chmod("t", 01777));
	put_file("t/root", "x");
	CHILD(k) {
		become_nobody();
		put_file("t/own", "x");
		ERR(rename("t/root", "t/y"), EPERM);
		ERR(rename("t/own", "t/root"), EPERM);
		ERR(unlink("t/root"), EPERM);
		OK(rename("t/own", "t/own2"));
		OK(unlink("t/own2"));
	}
	REAP(k);
}

CASE(rename_needs_write_in_both)
{
	OK(mkdir("ro", 0755));
	OK(mkdir("rw", 0777));
	OK(chmod("rw", 0777));
	put_file("ro/f", "x");
	CHILD(k) {
		become_nobody();
		ERR(rename("ro/f", "rw/f"), EACCES);
		put_file("rw/g", "x");
		ERR(rename("rw/g", "ro/g"), EACCES);
	}
	REAP(k);
}

CASE(rename_open_directory_keeps_cwd)
{
	char b[PATH_MAX], *e;
	OK(mkdir("a", 0755));
	OK(chdir("a"));
	OK(rename("../a", "../b"));
	OK(getcwd(b, sizeof b) ? 0 : -1);
	e = strrchr(b, '/');
	STREQ(e, "/b");
}
