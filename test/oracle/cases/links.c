// link(2), symlink(2), readlink(2), and linkat's flags.
#include "oracle.h"

CASE(link_counts)
{
	struct stat a, b;
	put_file("a", "x");
	OK(link("a", "b"));
	OK(stat("a", &a));
	OK(stat("b", &b));
	EQ(a.st_ino, b.st_ino);
	EQ(a.st_nlink, 2);
	OK(unlink("a"));
	OK(stat("b", &b));
	EQ(b.st_nlink, 1);
}

CASE(link_errors)
{
	put_file("a", "");
	put_file("b", "");
	OK(mkdir("d", 0755));
	ERR(link("a", "b"), EEXIST);
	ERR(link("none", "c"), ENOENT);
	ERR(link("a", "none/c"), ENOENT);
	ERR(link("d", "e"), EPERM);
	ERR(link("a", "d"), EEXIST);
	ERR(link("a/", "c"), ENOTDIR);
	ERR(link("a", "c/"), ENOENT);
	ERR(link("a", ""), ENOENT);
	ERR(link(BAD_PTR, "c"), EFAULT);
	ERR(linkat(AT_FDCWD, "a", AT_FDCWD, "c", 0x40000000), EINVAL);
	ERR(link("a", "/proc/x"), ENOENT);
	ERR(link("a", "/dev/pts/oracle-link"), EXDEV);
}

CASE(link_does_not_follow_symlinks)
{
	struct stat st;
	put_file("f", "x");
	OK(symlink("f", "l"));
	OK(link("l", "m"));
	OK(lstat("m", &st));
	CHECK(S_ISLNK(st.st_mode));
	OK(linkat(AT_FDCWD, "l", AT_FDCWD, "n", AT_SYMLINK_FOLLOW));
	OK(lstat("n", &st));
	CHECK(S_ISREG(st.st_mode));
	EQ(st.st_nlink, 2);
}

CASE(link_to_removed_file)
{
	char path[64];
	put_file("f", "x");
	int fd = OK(open("f", O_RDONLY));
	OK(unlink("f"));
	sprintf(path, "/proc/self/fd/%d", fd);
	ERR(linkat(AT_FDCWD, path, AT_FDCWD, "g", AT_SYMLINK_FOLLOW), ENOENT);
}

CASE(symlink_readlink)
{
	char b[8] = "zzzzzzz";
	OK(symlink("target", "l"));
	EQ(readlink("l", b, 8), 6);
	EQ(memcmp(b, "targetz", 7), 0); // not terminated
	EQ(readlink("l", b, 3), 3);
	ERR(readlink("l", b, 0), EINVAL);
	ERR(readlink("none", b, 8), ENOENT);
	put_file("f", "");
	ERR(readlink("f", b, 8), EINVAL);
	ERR(readlink(".", b, 8), EINVAL);
	ERR(readlink("l", BAD_PTR, 8), EFAULT);
	ERR(symlink("x", "l"), EEXIST);
	ERR(symlink("", "m"), ENOENT);
	ERR(symlink("x", ""), ENOENT);
	ERR(symlink("x", "none/l"), ENOENT);
}

CASE(symlink_long_target)
{
	char t[4200], b[4200];
	memset(t, 'a', sizeof t);
	t[1000] = 0;
	OK(symlink(t, "l"));
	EQ(readlink("l", b, sizeof b), 1000);
	t[1000] = 'a';
	t[4096] = 0;
	ERR(symlink(t, "m"), ENAMETOOLONG);
}

CASE(symlink_resolution)
{
	struct stat a, b;
	OK(mkdir("d", 0755));
	OK(mkdir("d/e", 0755));
	put_file("d/f", "x");
	OK(stat("d/f", &a));
	OK(symlink("../f", "d/e/rel")); // relative to the link's directory
	OK(stat("d/e/rel", &b));
	EQ(a.st_ino, b.st_ino);
	char abs[PATH_MAX];
	CHECK(getcwd(abs, sizeof abs - 8));
	strcat(abs, "/d");
	OK(symlink(abs, "abs"));
	OK(stat("abs/f", &b));
	EQ(a.st_ino, b.st_ino);
	OK(symlink("d/", "sl"));
	OK(stat("sl/f", &b));
	OK(symlink("d/f/", "bad"));
	ERR(stat("bad", &b), ENOTDIR);
}

CASE(unlink_symlink_leaves_target)
{
	put_file("f", "x");
	OK(symlink("f", "l"));
	OK(unlink("l"));
	OK(access("f", F_OK));
	OK(mkdir("d", 0755));
	OK(symlink("d", "dl"));
	ERR(unlink("dl/"), ENOTDIR);
	OK(unlink("dl"));
}

CASE(hard_link_shares_data)
{
	char b[8];
	put_file("a", "one");
	OK(link("a", "b"));
	int fd = OK(open("a", O_WRONLY | O_TRUNC));
	EQ(write(fd, "two!", 4), 4);
	get_file("b", b, 8);
	STREQ(b, "two!");
	OK(chmod("b", 0600));
	struct stat st;
	OK(stat("a", &st));
	EQ(st.st_mode & 0777, 0600);
}
