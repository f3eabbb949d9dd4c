// setxattr(2), getxattr(2), listxattr(2), removexattr(2), user namespace of names.
#include "oracle.h"
#include <sys/xattr.h>

#define NEED_XATTR()                                                         \
	do {                                                                 \
		put_file("f", "");                                           \
		if (setxattr("f", "user.probe", "", 0, 0) < 0 && errno == EOPNOTSUPP) \
			SKIP("file system without extended attributes");     \
		OK(removexattr("f", "user.probe"));                          \
	} while (0)

CASE(xattr_set_get)
{
	char b[16];
	NEED_XATTR();
	OK(setxattr("f", "user.a", "hello", 5, 0));
	EQ(getxattr("f", "user.a", b, 16), 5);
	EQ(memcmp(b, "hello", 5), 0);
	EQ(getxattr("f", "user.a", NULL, 0), 5);
	ERR(getxattr("f", "user.a", b, 4), ERANGE);
	ERR(getxattr("f", "user.none", b, 16), ENODATA);
	OK(setxattr("f", "user.a", "", 0, 0));
	EQ(getxattr("f", "user.a", b, 16), 0);
}

CASE(xattr_create_replace)
{
	NEED_XATTR();
	ERR(setxattr("f", "user.a", "x", 1, XATTR_REPLACE), ENODATA);
	OK(setxattr("f", "user.a", "x", 1, XATTR_CREATE));
	ERR(setxattr("f", "user.a", "x", 1, XATTR_CREATE), EEXIST);
	OK(setxattr("f", "user.a", "yy", 2, XATTR_REPLACE));
	ERR(setxattr("f", "user.a", "x", 1, 4), EINVAL);
}

CASE(xattr_list_remove)
{
	char b[64];
	NEED_XATTR();
	EQ(listxattr("f", b, 64), 0);
	OK(setxattr("f", "user.a", "x", 1, 0));
	OK(setxattr("f", "user.bb", "x", 1, 0));
	EQ(listxattr("f", NULL, 0), 7 + 8);
	EQ(listxattr("f", b, 64), 15);
	CHECK(memmem(b, 15, "user.a", 7) && memmem(b, 15, "user.bb", 8));
	ERR(listxattr("f", b, 14), ERANGE);
	OK(removexattr("f", "user.a"));
	ERR(removexattr("f", "user.a"), ENODATA);
	EQ(listxattr("f", b, 64), 8);
}

CASE(xattr_names)
{
	char n[300] = "user.";
	NEED_XATTR();
	ERR(setxattr("f", "nonsense", "x", 1, 0), EOPNOTSUPP);
	ERR(setxattr("f", "foo.bar", "x", 1, 0), EOPNOTSUPP);
	ERR(setxattr("f", "", "x", 1, 0), ERANGE);
	ERR(setxattr("f", "user.", "x", 1, 0), EINVAL);
	memset(n + 5, 'n', 290);
	n[256] = 0;
	ERR(setxattr("f", n, "x", 1, 0), ERANGE);
	ERR(setxattr("none", "user.a", "x", 1, 0), ENOENT);
	ERR(setxattr("f", "user.a", "x", 65537, 0), E2BIG);
	ERR(setxattr("f", BAD_PTR, "x", 1, 0), EFAULT);
	ERR(setxattr("f", "user.a", BAD_PTR, 1, 0), EFAULT);
}

CASE(xattr_descriptor_and_symlink)
{
	char b[8];
	NEED_XATTR();
	int fd = OK(open("f", O_RDONLY));
	OK(fsetxattr(fd, "user.a", "x", 1, 0));
	EQ(fgetxattr(fd, "user.a", b, 8), 1);
	EQ(flistxattr(fd, b, 8), 7);
	OK(symlink("f", "l"));
	EQ(getxattr("l", "user.a", b, 8), 1);
	ERR(lsetxattr("l", "user.a", "x", 1, 0), EPERM);
	ERR(lgetxattr("l", "user.a", b, 8), ENODATA);
	OK(fremovexattr(fd, "user.a"));
	int p = OK(open("f", O_PATH));
	ERR(fgetxattr(p, "user.a", b, 8), EBADF);
	ERR(fsetxattr(999, "user.a", "x", 1, 0), EBADF);
}

CASE(xattr_on_special_files)
{
	NEED_XATTR();
	OK(mkfifo("p", 0600));
	ERR(setxattr("p", "user.a", "x", 1, 0), EPERM);
	OK(mkdir("d", 0755));
	OK(setxattr("d", "user.a", "x", 1, 0));
}

CASE(xattr_permission)
{
	char b[8];
	NEED_XATTR();
	OK(setxattr("f", "user.a", "x", 1, 0));
	CHILD(k) {
		become_nobody();
		EQ(getxattr("f", "user.a", b, 8), 1);
		ERR(setxattr("f", "user.a", "y", 1, 0), EACCES);
		ERR(setxattr("f", "trusted.a", "y", 1, 0), EPERM);
		ERR(getxattr("f", "trusted.a", b, 8), ENODATA);
	}
	REAP(k);
	OK(chmod("f", 0));
	CHILD(m) {
		become_nobody();
		ERR(getxattr("f", "user.a", b, 8), EACCES);
	}
	REAP(m);
}
