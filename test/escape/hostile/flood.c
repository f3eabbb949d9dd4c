// Too much of everything: signals, timers, wake-ups, processes, threads, memory,
// arguments, vectors, deep directories.
#include "hostile.h"
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>

static void count(int sig) { (void)sig; }

static void signals(void *arg) {
	(void)arg;
	for (int s = 1; s < 65; s++) signal(s, count);
	pid_t me = getpid();
	pid_t other = fork();
	if (other == 0) {
		double end = now() + 0.5;
		while (now() < end) for (int s = 1; s < 65; s++) if (s != SIGKILL && s != SIGSTOP && s != 32 && s != 33) kill(me, s);
		_exit(0);
	}
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	union sigval v = {0};
	for (int i = 0; i < 20000 && sigqueue(me, SIGRTMIN + i % 20, v) == 0; i++);
	sigprocmask(SIG_UNBLOCK, &all, NULL);
	while (waitpid(other, NULL, 0) != other);
}

static void timers(void *arg) {
	(void)arg;
	for (int s = 1; s < 65; s++) signal(s, count);
	for (int i = 0; i < 500; i++) {
		timer_t t;
		struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + i % 20};
		if (timer_create(i % 2 ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID, &e, &t)) break;
		struct itimerspec ts = {{0, 1}, {0, 1}};
		timer_settime(t, 0, &ts, NULL);
	}
	struct itimerval it = {{0, 1}, {0, 1}};
	for (int i = 0; i < 3; i++) setitimer(i, &it, NULL);
	for (int i = 0; i < 200; i++) {
		int fd = timerfd_create(CLOCK_MONOTONIC, 0);
		struct itimerspec ts = {{0, 1}, {0, 1}};
		timerfd_settime(fd, 0, &ts, NULL);
	}
	double end = now() + 1;
	while (now() < end);
}

static void epolls(void *arg) {
	(void)arg;
	int e[300], n = 0;
	for (; n < 300 && (e[n] = epoll_create1(0)) >= 0; n++);
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j += 1 + i % 7) {
			struct epoll_event v = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u32 = j};
			epoll_ctl(e[i], EPOLL_CTL_ADD, e[j], &v);
		}
	int ev = eventfd(0, EFD_NONBLOCK);
	for (int i = 0; i < n; i++) {
		struct epoll_event v = {.events = EPOLLIN | EPOLLET};
		epoll_ctl(e[i], EPOLL_CTL_ADD, ev, &v);
	}
	double end = now() + 1.5;
	while (now() < end) {
		uint64_t one = 1;
		write(ev, &one, 8), read(ev, &one, 8);
		struct epoll_event got[64];
		epoll_wait(e[rng() % n], got, 64, 0);
	}
	// Descriptors in flight that hold each other.
	for (int i = 0; i < 200; i++) {
		int p[2];
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, p)) break;
		for (int k = 0; k < 2; k++) {
			char c[CMSG_SPACE(2 * sizeof(int))] = {0}, b = 0;
			struct iovec v = {&b, 1};
			struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = c, .msg_controllen = sizeof c};
			struct cmsghdr *h = CMSG_FIRSTHDR(&m);
			h->cmsg_level = SOL_SOCKET, h->cmsg_type = SCM_RIGHTS, h->cmsg_len = CMSG_LEN(2 * sizeof(int));
			memcpy(CMSG_DATA(h), p, sizeof p);
			sendmsg(p[k], &m, MSG_DONTWAIT);
		}
		close(p[0]), close(p[1]);
	}
}

static void vectors(void *arg) {
	(void)arg;
	static struct iovec v[2048];
	int p[2];
	pipe(p);
	for (int round = 0; round < 200; round++) {
		for (int i = 0; i < 2048; i++) v[i] = (struct iovec){(void *)(rng() >> rng() % 64), rng() >> rng() % 64};
		if (round % 3 == 0) for (int i = 0; i < 2048; i++) v[i] = (struct iovec){v, ~0UL >> 1};
		int n = round % 2 ? 1024 : 2048;
		writev(p[1], v, n), readv(p[0], v, 0), pwritev2(1, v, n, -1, 0), process_vm_readv(getpid(), v, n, v, n, 0);
		vmsplice(p[1], v, n, SPLICE_F_NONBLOCK);
		int fd = open("/tmp/v", O_RDWR | O_CREAT, 0600);
		pwritev(fd, v, n, ~0UL >> 1), preadv(fd, v, n, rng() >> 1);
		fcntl(p[1], F_SETFL, O_NONBLOCK), fcntl(p[0], F_SETFL, O_NONBLOCK);
		struct msghdr m = {.msg_iov = v, .msg_iovlen = rng() >> rng() % 64, .msg_control = v, .msg_controllen = rng() >> rng() % 64, .msg_name = v, .msg_namelen = rng()};
		int s[2];
		socketpair(AF_UNIX, SOCK_DGRAM, 0, s);
		sendmsg(s[0], &m, MSG_DONTWAIT), recvmsg(s[1], &m, MSG_DONTWAIT);
		close(fd), close(s[0]), close(s[1]);
	}
}

static void arguments(void *arg) {
	(void)arg;
	size_t size = 64 << 20;
	char *big = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(big, 'a', size);
	static char *argv[1 << 20];
	for (int i = 0; i < (1 << 20) - 1; i++) argv[i] = big + size - 2;
	argv[0] = big;
	big[size - 1] = 0;
	execve("/proc/self/exe", argv, NULL);
	argv[0] = big + size - 131000;
	execve("/proc/self/exe", argv, argv);
	for (int i = 0; i < (1 << 20) - 1; i++) argv[i] = big + size - 1;
	execve("/proc/self/exe", argv, argv);
	argv[1] = (char *)8;
	execve("/proc/self/exe", argv, argv);
	execve(big, argv, argv);
	char *loop[] = {"/tmp/script", NULL};
	int fd = open("/tmp/script", O_RDWR | O_CREAT | O_TRUNC, 0755);
	write(fd, "#!/tmp/script\n", 14), close(fd);
	execve("/tmp/script", loop, NULL);
}

static void directories(void *arg) {
	(void)arg;
	mkdir((char *)"/tmp/deep", 0755), chdir("/tmp/deep");
	char name[250];
	memset(name, 'd', 249), name[249] = 0;
	for (int i = 0; i < 3000; i++)
		if (mkdir(name, 0755) || chdir(name)) break;
	static char path[1 << 20];
	getcwd(path, sizeof path);
	char link[64];
	readlink("/proc/self/cwd", path, sizeof path);
	for (int i = 0; i < 100; i++) snprintf(link, sizeof link, "/tmp/l%d", i), symlink(i ? "/tmp/l0" : "/tmp/l99", link);
	open("/tmp/l50", O_RDONLY);
	memset(path, '/', sizeof path - 1);
	open(path, O_RDONLY);
	chdir("/");
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
	int n = 0;
	while (n < 1500 && pthread_create(&t, &a, sleeper, NULL) == 0) n++;
	printf("%d threads\n", n), fflush(stdout);
}

static void bomb(void *arg) {
	(void)arg;
	unprivileged(300);
	double end = now() + 1.5;
	while (now() < end) {
		pid_t p = fork();
		if (p == 0) rng_state ^= (uint64_t)getpid() << 32;
		if (p < 0) usleep(1000);
	}
}

static void vbomb(void *arg) {
	(void)arg;
	unprivileged(100);
	for (int i = 0; i < 200; i++) {
		if (vfork() == 0) execl("/proc/self/exe", "flood", "child", NULL), _exit(1);
	}
}

static void hog(void *arg) {
	(void)arg;
	// What is given back must be free again: far more in turn than there is at once.
	for (int i = 0; i < 8; i++) {
		size_t size = 256UL << 20;
		char *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (m == MAP_FAILED) return;
		for (size_t j = 0; j < size; j += PAGE) m[j] = 1;
		if (i % 2) munmap(m, size);
		else madvise(m, size, MADV_DONTNEED), munmap(m, size);
	}
	for (int i = 0; i < 10; i++) mmap(NULL, 1UL << (30 + i), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int fd = memfd_create("h", 0);
	ftruncate(fd, 1L << 62), pwrite(fd, "x", 1, (1L << 62) - 1), fallocate(fd, 0, 1L << 61, PAGE);
	for (long i = 0; i < 70000; i++) // mappings that cannot be merged
		if (mmap((void *)(0x100000000000 + 2 * i * PAGE), PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) break;
}

int main(int argc, char **argv) {
	if (argc > 1 && strcmp(argv[1], "child") == 0) return 0;
	static const struct { const char *name; void (*f)(void *); } all[] = {{"signals", signals}, {"timers", timers}, {"epolls", epolls}, {"vectors", vectors},
		{"arguments", arguments}, {"directories", directories}, {"threads", threads}, {"bomb", bomb}, {"vbomb", vbomb}, {"hog", hog}};
	for (size_t i = 0; i < COUNT(all); i++) {
		if (argc > 1 && strcmp(argv[1], all[i].name)) continue;
		double start = now();
		int status = attempt(all[i].f, NULL, 30);
		// A bomb leaves orphans to process 1.
		for (int n = 0; n < 20; n++) kill(-1, SIGKILL), usleep(5000);
		while (waitpid(-1, NULL, WNOHANG) > 0);
		printf("%s: status %x, %.1f s\n", all[i].name, status, now() - start);
	}
	return survived();
}
