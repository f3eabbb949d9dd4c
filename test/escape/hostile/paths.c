// Ways out of the trees that the gofer serves. /shared is a directory of the host
// whose parent has a file "canary"; the host swaps /shared/swap between a directory
// and a link to "..".
#include "hostile.h"
#include <dirent.h>
#include <linux/openat2.h>

static const char secret[] = "canary-7c3e1f"; // as the host wrote it

static void look(int fd, const char *how) {
	char buf[64] = "";
	if (fd < 0) return;
	read(fd, buf, sizeof buf - 1);
	if (strstr(buf, secret)) gained("the file outside can be read by %s", how);
	close(fd);
}

static void try(const char *path) {
	look(open(path, O_RDONLY | O_NONBLOCK), path);
	int fd = open(path, O_WRONLY | O_NONBLOCK | O_APPEND);
	if (fd >= 0) {
		struct stat st;
		// Only what has the size of the secret can be it.
		if (fstat(fd, &st) == 0 && st.st_size == sizeof secret - 1) write(fd, "gained", 6);
		close(fd);
	}
}

static void dots(int fd, const char *where) {
	char path[256], how[512];
	for (int depth = 1; depth < 40; depth++) {
		path[0] = 0;
		for (int i = 0; i < depth; i++) strcat(path, "../");
		strcat(path, "canary");
		snprintf(how, sizeof how, "%s of %s", path, where);
		look(openat(fd, path, O_RDONLY), how);
		struct open_how h = {.flags = O_RDONLY, .resolve = depth % 3 == 0 ? RESOLVE_IN_ROOT : 0};
		look(syscall(SYS_openat2, fd, path, &h, sizeof h), how);
	}
}

static volatile int stop;

// Renames directories about while the parent walks through them.
static void mover(void *arg) {
	(void)arg;
	for (;;) {
		rename("/shared/a/b", "/shared/b");
		rename("/shared/b", "/shared/a/b");
		syscall(SYS_renameat2, AT_FDCWD, "/shared/x", AT_FDCWD, "/shared/y", 2 /* RENAME_EXCHANGE */);
		unlink("/shared/link");
		symlink("../../../../../..", "/shared/link");
		unlink("/shared/link");
		mkdir("/shared/link", 0755);
		rmdir("/shared/link");
	}
}

static void links(void) {
	static const char *targets[] = {"..", "../canary", "../../../../../../../../etc/shadow", "/proc/self/root/../..", "/proc/1/root", "/proc/1/cwd/..", "/proc/self/fd/../../../.."};
	for (size_t i = 0; i < COUNT(targets); i++) {
		unlink("/shared/l");
		if (symlink(targets[i], "/shared/l")) continue;
		try("/shared/l");
		try("/shared/l/canary");
		try("/shared/l/../canary");
		link("/shared/l", "/shared/hard");
		try("/shared/hard");
		unlink("/shared/hard");
		truncate("/shared/l", 0);
		chmod("/shared/l/canary", 0777);
		chown("/shared/l/canary", 1, 1);
		rename("/shared/l/canary", "/shared/got");
		link("/shared/l/canary", "/shared/got");
		try("/shared/got");
	}
}

int main(void) {
	static const char *paths[] = {"/../canary", "/../../canary", "/shared/../canary", "/shared/../../canary", "/shared/./.././canary", "/proc/self/root/../canary",
		"/proc/self/cwd/../canary", "/proc/1/root/../canary", "/proc/1/fd/3", "/proc/1/fd/4", "/proc/self/fd/3/../canary", "/proc/self/exe/../canary",
		"/dev/fd/../../canary", "//canary", "/shared//..//canary", "/shared/%2e%2e/canary", "/shared/..\\canary"};
	for (size_t i = 0; i < COUNT(paths); i++) try(paths[i]);
	chdir("/shared");
	dots(AT_FDCWD, "/shared");
	int dir = open("/shared", O_RDONLY | O_DIRECTORY), pathfd = open("/shared", O_PATH);
	dots(dir, "a descriptor of /shared");
	dots(pathfd, "an O_PATH descriptor of /shared");
	char p[128];
	for (int i = 0; i < 100; i++) {
		snprintf(p, sizeof p, "/proc/self/fd/%d/../canary", i);
		try(p);
		snprintf(p, sizeof p, "/proc/self/fd/%d", i);
		look(open(p, O_RDWR | O_NONBLOCK), p);
	}
	links();
	// A chroot below the tree does not make its parent reachable.
	if (fork() == 0) {
		attempting = 1;
		mkdir("/shared/jail", 0755);
		int out = open("/shared", O_RDONLY | O_DIRECTORY);
		if (chroot("/shared/jail") == 0) {
			dots(out, "outside a chroot");
			fchdir(out);
			for (int i = 0; i < 50; i++) chdir("..");
			try("canary");
			chroot(".");
			try("/canary");
			try("/../canary");
		}
		_exit(0);
	}
	wait(NULL);
	// Deep trees, and directories that move away under those who are in them.
	mkdir("/shared/a", 0755), mkdir("/shared/a/b", 0755), mkdir("/shared/a/b/c", 0755), mkdir("/shared/x", 0755);
	symlink("../..", "/shared/y");
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) attempting = 1, mover(NULL);
	int in = open("/shared/a/b/c", O_RDONLY | O_DIRECTORY);
	double end = now() + 4;
	long n = 0;
	while (now() < end) {
		char how[128];
		for (int depth = 2; depth < 7; depth++) {
			char path[64] = "";
			for (int i = 0; i < depth; i++) strcat(path, "../");
			strcat(path, "canary");
			snprintf(how, sizeof how, "a directory that moves, %s", path);
			look(openat(in, path, O_RDONLY), how);
		}
		static const char *racy[] = {"/shared/swap/canary", "/shared/swap/../canary", "/shared/other/canary", "/shared/swap/shared/swap/canary", "/shared/x/canary",
			"/shared/y/canary", "/shared/link/canary", "/shared/x/../../canary", "/shared/other/shared/canary"};
		for (size_t i = 0; i < COUNT(racy); i++) try(racy[i]);
		int fd = open("/shared/swap", O_RDONLY | O_DIRECTORY);
		if (fd >= 0) {
			look(openat(fd, "canary", O_RDONLY), "a swapped directory");
			look(openat(fd, "shared/../canary", O_RDONLY), "a swapped directory");
			fchmodat(fd, "canary", 0777, 0);
			truncate("/shared/swap/canary", 0);
			unlinkat(fd, "shared", AT_REMOVEDIR);
			DIR *d = fdopendir(fd);
			struct dirent *e;
			int both = 0; // the container's own root has no such file
			while (d && (e = readdir(d))) both |= strcmp(e->d_name, "shared") == 0 ? 1 : strcmp(e->d_name, "canary") == 0 ? 2 : 0;
			if (both == 3) gained("the directory around the tree can be listed");
			if (d) closedir(d);
		}
		link("/shared/swap/canary", "/shared/stolen");
		try("/shared/stolen");
		unlink("/shared/stolen");
		rename("/shared/swap/canary", "/shared/moved");
		try("/shared/moved");
		rename("/shared/moved", "/shared/swap/canary");
		n++;
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	printf("%ld rounds\n", n);
	return survived();
}
