// mkdir(2), rmdir(2), getdents64(2), chdir(2), getcwd(2), chroot(2).
#include "oracle.h"

struct dent {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

CASE(mkdir_mode_and_errors)
{
	struct stat st;
	umask(077);
	OK(mkdir("d", 0777));
	OK(stat("d", &st));
	EQ(st.st_mode, S_IFDIR | 0700);
	ERR(mkdir("d", 0777), EEXIST);
	ERR(mkdir("none/x", 0777), ENOENT);
	put_file("f", "");
	ERR(mkdir("f", 0777), EEXIST);
	ERR(mkdir("f/x", 0777), ENOTDIR);
	ERR(mkdir("/", 0777), EEXIST);
	ERR(mkdir(".", 0777), EEXIST);
	ERR(mkdir("", 0777), ENOENT);
	OK(symlink("nowhere", "l"));
	ERR(mkdir("l", 0777), EEXIST);
	OK(mkdir("slash/", 0777));
	OK(mkdir("sticky", 01777));
	OK(stat("sticky", &st));
	EQ(st.st_mode & 07777, 01700);
	OK(mkdir("sgid", 06755)); // set-id bits are not taken from mkdir
	OK(stat("sgid", &st));
	EQ(st.st_mode & 07777, 0700);
}

CASE(rmdir_errors)
{
	OK(mkdir("d", 0755));
	put_file("d/f", "");
	ERR(rmdir("d"), ENOTEMPTY);
	OK(unlink("d/f"));
	ERR(rmdir("d/."), EINVAL);
	ERR(rmdir("d/.."), ENOTEMPTY);
	ERR(rmdir("."), EINVAL);
	OK(rmdir("d/"));
	ERR(rmdir("d"), ENOENT);
	put_file("f", "");
	ERR(rmdir("f"), ENOTDIR);
	OK(mkdir("e", 0755));
	OK(symlink("e", "l"));
	ERR(rmdir("l"), ENOTDIR);
	ERR(rmdir("/"), EBUSY);
}

CASE(unlink_errors)
{
	OK(mkdir("d", 0755));
	put_file("f", "");
	ERR(unlink("d"), EISDIR);
	ERR(unlink("none"), ENOENT);
	ERR(unlink("f/"), ENOTDIR);
	ERR(unlink("f/x"), ENOTDIR);
	ERR(unlink(""), ENOENT);
	ERR(unlinkat(AT_FDCWD, "f", AT_REMOVEDIR), ENOTDIR);
	ERR(unlinkat(AT_FDCWD, "f", 1), EINVAL);
	OK(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
	OK(unlink("f"));
}

CASE(getdents_lists_everything)
{
	char b[32768];
	put_file("file", "");
	OK(mkdir("dir", 0755));
	OK(symlink("x", "link"));
	OK(mkfifo("fifo", 0600));
	int fd = OK(open(".", O_RDONLY | O_DIRECTORY)), seen = 0;
	for (;;) {
		int n = OK(syscall(SYS_getdents64, fd, b, sizeof b));
		if (n == 0)
			break;
		for (int i = 0; i < n;) {
			struct dent *d = (void *)(b + i);
			CHECK(d->reclen % 8 == 0 && d->reclen > 19);
			struct stat st;
			OK(lstat(d->name, &st));
			if (strcmp(d->name, ".."))
				EQ(d->ino, st.st_ino);
			if (!strcmp(d->name, "."))
				seen |= 1, EQ(d->type, DT_DIR);
			else if (!strcmp(d->name, ".."))
				seen |= 2, EQ(d->type, DT_DIR);
			else if (!strcmp(d->name, "file"))
				seen |= 4, EQ(d->type, DT_REG);
			else if (!strcmp(d->name, "dir"))
				seen |= 8, EQ(d->type, DT_DIR);
			else if (!strcmp(d->name, "link"))
				seen |= 16, EQ(d->type, DT_LNK);
			else if (!strcmp(d->name, "fifo"))
				seen |= 32, EQ(d->type, DT_FIFO);
			else
				FAILF("unexpected name %s", d->name);
			i += d->reclen;
		}
	}
	EQ(seen, 63);
	EQ(syscall(SYS_getdents64, fd, b, sizeof b), 0);
}

CASE(getdents_errors)
{
	char b[1024];
	put_file("f", "");
	int d = OK(open(".", O_RDONLY)), f = OK(open("f", O_RDONLY));
	ERR(syscall(SYS_getdents64, d, b, 1), EINVAL);
	ERR(syscall(SYS_getdents64, f, b, 1024), ENOTDIR);
	ERR(syscall(SYS_getdents64, 999, b, 1024), EBADF);
	ERR(syscall(SYS_getdents64, d, BAD_PTR, 1024), EFAULT);
	EQ(lseek(d, 0, SEEK_SET), 0);
	CHECK(syscall(SYS_getdents64, d, b, 1024) > 0);
	OK(mkdir("gone", 0755));
	int g = OK(open("gone", O_RDONLY));
	OK(rmdir("gone"));
	ERR(syscall(SYS_getdents64, g, b, 1024), ENOENT);
}

CASE(readdir_many_with_small_buffer)
{
	char name[32], b[256], seen[1000] = {0};
	OK(mkdir("d", 0755));
	for (int i = 0; i < 1000; i++) {
		sprintf(name, "d/entry-%d", i);
		OK(close(OK(creat(name, 0600))));
	}
	int fd = OK(open("d", O_RDONLY)), count = 0;
	for (;;) {
		int n = OK(syscall(SYS_getdents64, fd, b, sizeof b)), v;
		if (n == 0)
			break;
		for (int i = 0; i < n;) {
			struct dent *d = (void *)(b + i);
			if (sscanf(d->name, "entry-%d", &v) == 1) {
				CHECK(!seen[v]);
				seen[v] = 1;
				count++;
			}
			i += d->reclen;
		}
	}
	EQ(count, 1000);
}

CASE(readdir_unlink_while_reading)
{
	char name[32];
	OK(mkdir("d", 0755));
	for (int i = 0; i < 300; i++) {
		sprintf(name, "d/f%d", i);
		OK(close(OK(creat(name, 0600))));
	}
	DIR *d = opendir("d");
	CHECK(d);
	int fd = dirfd(d), n = 0;
	struct dirent *e;
	while ((e = readdir(d)))
		if (e->d_name[0] == 'f') {
			OK(unlinkat(fd, e->d_name, 0));
			n++;
		}
	EQ(n, 300);
	closedir(d);
	OK(rmdir("d"));
}

CASE(readdir_rewind_sees_new_entries)
{
	OK(mkdir("d", 0755));
	DIR *d = opendir("d");
	CHECK(d);
	int n = 0;
	while (readdir(d))
		n++;
	EQ(n, 2);
	put_file("d/new", "");
	rewinddir(d);
	for (n = 0; readdir(d);)
		n++;
	EQ(n, 3);
}

CASE(readdir_seek_to_offset)
{
	char name[32], first[256], again[256];
	for (int i = 0; i < 50; i++) {
		sprintf(name, "f%d", i);
		OK(close(OK(creat(name, 0600))));
	}
	DIR *d = opendir(".");
	for (int i = 0; i < 20; i++)
		readdir(d);
	long pos = telldir(d);
	strcpy(first, readdir(d)->d_name);
	while (readdir(d))
		;
	seekdir(d, pos);
	strcpy(again, readdir(d)->d_name);
	STREQ(again, first);
}

CASE(chdir_and_getcwd)
{
	char b[PATH_MAX], c[PATH_MAX];
	OK(mkdir("d", 0755));
	OK(mkdir("d/e", 0755));
	CHECK(getcwd(b, sizeof b));
	OK(chdir("d/e"));
	EQ(syscall(SYS_getcwd, c, sizeof c), strlen(b) + 5);
	STREQ(c + strlen(b), "/d/e");
	OK(chdir(".."));
	CHECK(getcwd(c, sizeof c));
	STREQ(c + strlen(b), "/d");
	put_file("f", "");
	ERR(chdir("f"), ENOTDIR);
	ERR(chdir("none"), ENOENT);
	ERR(syscall(SYS_getcwd, c, 2), ERANGE);
	ERR(syscall(SYS_getcwd, BAD_PTR, 4096), EFAULT);
	int f = OK(open("f", O_RDONLY));
	ERR(fchdir(f), ENOTDIR);
	ERR(fchdir(999), EBADF);
	OK(chdir("/.."));
	EQ(syscall(SYS_getcwd, c, sizeof c), 2);
	STREQ(c, "/");
}

CASE(getcwd_removed_directory)
{
	char b[PATH_MAX];
	OK(mkdir("d", 0755));
	OK(chdir("d"));
	OK(rmdir("../d"));
	ERR(syscall(SYS_getcwd, b, sizeof b), ENOENT);
	ERR(open("x", O_CREAT | O_RDWR, 0600), ENOENT);
	OK(chdir(".."));
}

CASE(chdir_needs_search_permission)
{
	OK(mkdir("d", 0600));
	OK(mkdir("e", 0711));
	put_file("e/f", "x");
	CHILD(k) {
		become_nobody();
		ERR(chdir("d"), EACCES);
		OK(chdir("e"));
		OK(access("f", R_OK));
		ERR(open(".", O_RDONLY), EACCES);
	}
	REAP(k);
}

CASE(chroot_confines)
{
	OK(mkdir("jail", 0755));
	OK(mkdir("jail/in", 0755));
	put_file("outside", "x");
	put_file("jail/inside", "x");
	OK(symlink("/inside", "jail/l"));
	CHILD(k) {
		char b[PATH_MAX];
		ERR(chroot("outside"), ENOTDIR);
		ERR(chroot("none"), ENOENT);
		int old = OK(open(".", O_RDONLY));
		OK(chroot("jail"));
		OK(access("/inside", F_OK));
		EQ(syscall(SYS_getcwd, b, sizeof b) > 0, 1);
		EQ(memcmp(b, "(unreachable)", 13), 0);
		OK(access("outside", F_OK)); // the working directory is still outside
		OK(chdir("/"));
		OK(access("l", F_OK));
		ERR(access("../outside", F_OK), ENOENT);
		OK(chdir("in/../../.."));
		EQ(syscall(SYS_getcwd, b, sizeof b), 2);
		OK(fchdir(old));
		OK(access("outside", F_OK));
	}
	REAP(k);
	CHILD(n) {
		become_nobody();
		ERR(chroot("jail"), EPERM);
	}
	REAP(n);
}

CASE(path_dots_and_slashes)
{
	struct stat a, b;
	OK(mkdir("d", 0755));
	OK(mkdir("d/e", 0755));
	put_file("d/f", "");
	OK(stat("d/f", &a));
	OK(stat("./d//e/..///./f", &b));
	EQ(a.st_ino, b.st_ino);
	ERR(stat("d/f/..", &b), ENOTDIR);
	ERR(stat("d/none/..", &b), ENOENT);
	OK(symlink("d/e", "l"));
	OK(stat("l/../f", &b)); // .. of the link's target
	EQ(a.st_ino, b.st_ino);
	OK(stat("//", &b));
	OK(stat("/../..", &a));
	EQ(a.st_ino, b.st_ino);
}

CASE(mkdir_race_one_winner)
{
	pid_t p[8];
	for (int i = 0; i < 8; i++) {
		CHILD(k) {
			_exit(mkdir("d", 0755) == 0 ? 1 : errno == EEXIST ? 0 : 2);
		}
		p[i] = k;
	}
	int sum = 0, st;
	for (int i = 0; i < 8; i++) {
		EQ(waitpid(p[i], &st, 0), p[i]);
		CHECK(WIFEXITED(st));
		sum += WEXITSTATUS(st);
	}
	EQ(sum, 1);
}

CASE(deep_directory_tree)
{
	for (int i = 0; i < 200; i++) {
		OK(mkdir("d", 0755));
		OK(chdir("d"));
	}
	put_file("bottom", "x");
	char path[1000] = "";
	for (int i = 0; i < 200; i++) {
		OK(chdir(".."));
		strcat(path, "d/");
	}
	strcat(path, "bottom");
	OK(access(path, F_OK));
}
