// Takes more than the sandbox may have: the sandbox's configuration allows MAX_TASKS
// tasks and MAX_MEMORY bytes of memory.
#include "hostile.h"
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define MAX_TASKS 600
#define MAX_MEMORY (1UL << 30)

static volatile int *count;

static void wait_for_all(void) {
	kill(-1, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0);
}

static void check_count(const char *what, int stopped_by) {
	if (stopped_by != EAGAIN) printf("%s end with %s\n", what, strerror(stopped_by));
	if (*count >= MAX_TASKS) gained("%d %s", *count, what);
	if (*count < MAX_TASKS / 2) printf("only %d %s\n", *count, what);
}

// Processes of root, whom RLIMIT_NPROC does not bind.
static void processes(void *arg) {
	(void)arg;
	for (*count = 0; *count < 2 * MAX_TASKS; ++*count) {
		pid_t p = fork();
		if (p < 0) break;
		if (p == 0) for (;;) pause();
	}
	check_count("processes", errno);
	// What there is can go on, and what has ended makes room.
	pid_t p = fork();
	if (p == 0) _exit(0);
	if (p > 0) gained("one process more");
}

static void zombies(void *arg) {
	(void)arg;
	for (*count = 0; *count < 2 * MAX_TASKS; ++*count) {
		pid_t p = fork();
		if (p < 0) break;
		if (p == 0) _exit(0);
	}
	check_count("zombies", errno);
	if (waitpid(-1, NULL, 0) < 0) fail("waitpid");
	pid_t p = fork();
	if (p == 0) _exit(0);
	if (p < 0) fail("fork after a zombie has gone");
}

static void *sleeper(void *arg) {
	(void)arg;
	for (;;) pause();
	return NULL;
}

static void threads(void *arg) {
	(void)arg;
	pthread_attr_t a;
	pthread_attr_init(&a), pthread_attr_setstacksize(&a, 65536);
	pthread_t t;
	int e = 0;
	for (*count = 0; *count < 2 * MAX_TASKS && (e = pthread_create(&t, &a, sleeper, NULL)) == 0; ++*count);
	check_count("threads", e);
}

static void anonymous(void *arg) {
	(void)arg;
	char *m = mmap(NULL, 4 * MAX_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m == MAP_FAILED) fail("mmap");
	for (size_t i = 0; i < 4 * MAX_MEMORY; i += PAGE) m[i] = 1;
	gained("%lu MiB of memory", 4 * MAX_MEMORY >> 20);
}

// Memory of many processes that are small each.
static void crowd(void *arg) {
	(void)arg;
	for (int i = 0; i < 60; i++) {
		pid_t p = fork();
		if (p != 0) continue;
		size_t size = MAX_MEMORY / 15;
		char *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		for (size_t j = 0; m != MAP_FAILED && j < size; j += PAGE) m[j] = 1;
		++*count;
		for (;;) pause();
	}
	for (double end = now() + 3; now() < end;) usleep(50000);
}

static void in_memfd(void *arg) {
	(void)arg;
	int fd = memfd_create("hog", 0);
	static char block[1 << 20];
	memset(block, 1, sizeof block);
	for (size_t i = 0; i < 4 * MAX_MEMORY; i += sizeof block)
		if (write(fd, block, sizeof block) < 0) return;
	gained("%lu MiB in a memfd", 4 * MAX_MEMORY >> 20);
}

// The sentry's own memory: data in sockets and pipes.
static void in_sockets(void *arg) {
	(void)arg;
	static char block[1 << 16];
	memset(block, 1, sizeof block);
	size_t total = 0;
	for (;;) {
		int p[2], s[2];
		ssize_t n;
		if (pipe2(p, O_NONBLOCK) < 0) break;
		fcntl(p[1], F_SETPIPE_SZ, 1 << 20);
		while ((n = write(p[1], block, sizeof block)) > 0) total += n;
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s) < 0) break;
		int size = 1 << 20;
		for (int k = 0; k < 2; k++) {
			setsockopt(s[k], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
			while ((n = send(s[k], block, sizeof block, 0)) > 0) total += n;
		}
	}
	if (total >= 4 * MAX_MEMORY) gained("%zu MiB in pipes and sockets", total >> 20);
}

// As many descriptors as there may be in many processes.
static void descriptors(void *arg) {
	(void)arg;
	for (int i = 0; i < 40; i++) {
		pid_t p = fork();
		if (p != 0) continue;
		char name[64];
		struct rlimit files = {1024, 1024};
		setrlimit(RLIMIT_NOFILE, &files);
		for (int k = 0;; k++) {
			int fd;
			switch (k % 5) {
			case 0: fd = open("/hostile/limits", O_RDONLY); break;
			case 1: snprintf(name, sizeof name, "/tmp/d%d.%d", i, k); if ((fd = open(name, O_RDWR | O_CREAT, 0600)) >= 0) unlink(name); break;
			case 2: fd = eventfd(0, 0); break;
			case 3: snprintf(name, sizeof name, "/shared/d%d.%d", i, k), fd = open(name, O_RDWR | O_CREAT, 0600); break;
			default: fd = socket(AF_INET, SOCK_STREAM, 0);
			}
			if (fd < 0) {
				if (errno != EMFILE && errno != ENFILE) printf("descriptors: %s of %d\n", strerror(errno), k % 5), fflush(stdout);
				break;
			}
		}
		++*count;
		for (;;) pause();
	}
	for (double end = now() + 8; *count < 40 && now() < end;) usleep(50000);
	printf("%d of 40 processes have all descriptors that they may\n", *count), fflush(stdout);
}

int main(void) {
	count = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	static const struct { const char *name; void (*f)(void *); } all[] = {{"processes", processes}, {"zombies", zombies}, {"threads", threads},
		{"anonymous", anonymous}, {"crowd", crowd}, {"in_memfd", in_memfd}, {"in_sockets", in_sockets}, {"descriptors", descriptors}};
	for (size_t i = 0; i < COUNT(all); i++) {
		double start = now();
		*count = 0;
		int status = attempt(all[i].f, NULL, 30);
		wait_for_all();
		printf("%s: status %x, %.1f s\n", all[i].name, status, now() - start);
		fflush(stdout);
		// Everything works again.
		int fd = open("/hostile/limits", O_RDONLY);
		pid_t p = fork();
		if (p == 0) _exit(0);
		if (fd < 0 || p < 0 || waitpid(p, NULL, 0) != p) fail("afterwards");
		close(fd);
	}
	return survived();
}
