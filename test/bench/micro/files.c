// Files of the root file system.
#include "micro.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

static char block[1 << 20];

// Makes a file of some size in a fresh directory and goes there.
static int file(const char *name, size_t size)
{
	static char dir[64];
	if (!*dir) {
		strcpy(dir, "/var/tmp/microXXXXXX");
		CHECK(mkdtemp(dir));
		CHECK(!chdir(dir));
	}
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
	CHECK(fd >= 0);
	for (size_t done = 0; done < size; done += sizeof block)
		CHECK(write(fd, block, size - done < sizeof block ? size - done : sizeof block) > 0);
	return fd;
}

static void open_close(long n)
{
	close(file("f", 65536));
	start();
	while (n--) {
		int fd = open("f", O_RDONLY);
		CHECK(fd >= 0);
		close(fd);
	}
	stop();
}

static void open_close_deep(long n)
{
	start();
	while (n--) {
		int fd = open("/usr/lib/python3.11/json/decoder.py", O_RDONLY);
		CHECK(fd >= 0);
		close(fd);
	}
	stop();
}

static void stat_path(long n)
{
	struct stat st;
	start();
	while (n--)
		CHECK(!stat("/usr/bin/env", &st));
	stop();
}

static void stat_missing(long n)
{
	struct stat st;
	start();
	while (n--)
		CHECK(stat("/usr/bin/no-such-file", &st) < 0);
	stop();
}

static void stat_fd(long n)
{
	int fd = file("f", 4096);
	struct stat st;
	start();
	while (n--)
		CHECK(!fstat(fd, &st));
	stop();
	close(fd);
}

static void pread_4k(long n)
{
	int fd = file("f", 65536);
	start();
	for (long i = 0; i < n; i++)
		CHECK(pread(fd, block, 4096, (i & 15) * 4096) == 4096);
	stop();
	close(fd);
}

static void pwrite_4k(long n)
{
	int fd = file("f", 65536);
	start();
	for (long i = 0; i < n; i++)
		CHECK(pwrite(fd, block, 4096, (i & 15) * 4096) == 4096);
	stop();
	close(fd);
}

static void create_unlink(long n)
{
	close(file("f", 1));
	start();
	while (n--) {
		int fd = open("new", O_WRONLY | O_CREAT | O_EXCL, 0644);
		CHECK(fd >= 0 && write(fd, block, 1) == 1);
		close(fd);
		CHECK(!unlink("new"));
	}
	stop();
}

static void rename_file(long n)
{
	close(file("f", 1));
	start();
	for (long i = 0; i < n; i++)
		CHECK(!(i & 1 ? rename("g", "f") : rename("f", "g")));
	stop();
	rename("g", "f");
}

static void read_directory(long n)
{
	start();
	while (n--) {
		DIR *d = opendir("/usr/bin");
		CHECK(d);
		while (readdir(d))
			;
		closedir(d);
	}
	stop();
}

static void write_1m(long n)
{
	int fd = file("big", 64 << 20);
	start();
	for (long i = 0; i < n; i++)
		CHECK(pwrite(fd, block, sizeof block, (i & 63) << 20) == sizeof block);
	stop();
	close(fd);
}

static void read_1m(long n)
{
	int fd = file("big", 64 << 20);
	start();
	for (long i = 0; i < n; i++)
		CHECK(pread(fd, block, sizeof block, (i & 63) << 20) == sizeof block);
	stop();
	close(fd);
}

static void map_file_64m(long n)
{
	size_t size = 64 << 20;
	int fd = file("big", size);
	volatile char sum = 0;
	start();
	while (n--) {
		char *p = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
		CHECK(p != MAP_FAILED);
		for (size_t i = 0; i < size; i += 4096)
			sum += p[i];
		munmap(p, size);
	}
	stop();
	close(fd);
}

const struct measurement files[] = {
	{ "open_close", open_close },
	{ "open_close_deep", open_close_deep },
	{ "stat", stat_path },
	{ "stat_missing", stat_missing },
	{ "fstat", stat_fd },
	{ "pread_4k", pread_4k },
	{ "pwrite_4k", pwrite_4k },
	{ "create_unlink", create_unlink },
	{ "rename", rename_file },
	{ "readdir_usr_bin", read_directory },
	{ "write_1m", write_1m },
	{ "read_1m", read_1m },
	{ "map_file_64m", map_file_64m },
	{ NULL, NULL },
};
