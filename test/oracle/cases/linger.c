// linger.c: close(2) of a socket with SO_LINGER and a time waits for the peer (socket(7)).
#include "inet.h"

// What close(2) waits at most: where it is to wait so long, and where something else is to end it.
enum { SHORT = 1, LONG = 15 };

static double now(void)
{
	struct timespec t;
	OK(clock_gettime(CLOCK_MONOTONIC, &t));
	return t.tv_sec + t.tv_nsec / 1e9;
}

// full makes a connection, sends by s[0] until the peer s[1] has no room, and sets the time.
static void full(int s[2], int seconds)
{
	struct linger l = {1, seconds};
	static char data[1 << 16];
	pair(s);
	OK(fcntl(s[0], F_SETFL, O_NONBLOCK));
	while (write(s[0], data, sizeof data) > 0)
		;
	EQ(errno, EAGAIN);
	OK(setsockopt(s[0], SOL_SOCKET, SO_LINGER, &l, sizeof l));
}

// drain reads all that comes to a socket, a while after the call.
static void *drain(void *arg)
{
	static char data[1 << 16];
	int s = *(int *)arg;
	OK(usleep(300000));
	while (read(s, data, sizeof data) > 0)
		;
	return NULL;
}

CASE(linger_time_passes)
{
	int s[2];
	for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
		full(s, SHORT);
		OK(fcntl(s[0], F_SETFL, nonblocking ? O_NONBLOCK : 0));
		double t = now();
		EQ(close(s[0]), 0);
		t = now() - t;
		CHECK(t >= 0.9 * SHORT);
		OK(close(s[1]));
	}
}

CASE(linger_until_acknowledged)
{
	int s[2];
	pthread_t reader;
	full(s, LONG);
	double t = now();
	EQ(pthread_create(&reader, NULL, drain, &s[1]), 0);
	EQ(close(s[0]), 0);
	t = now() - t;
	CHECK(t >= 0.2);
	CHECK(t < LONG - 3);
	EQ(pthread_join(reader, NULL), 0);
}

CASE(linger_nothing_to_send)
{
	int s[2];
	struct linger l = {1, LONG};
	pair(s);
	OK(setsockopt(s[0], SOL_SOCKET, SO_LINGER, &l, sizeof l));
	double t = now();
	EQ(close(s[0]), 0);
	CHECK(now() - t < LONG - 3);
	int u = OK(socket(AF_INET, SOCK_STREAM, 0));
	OK(setsockopt(u, SOL_SOCKET, SO_LINGER, &l, sizeof l));
	t = now();
	EQ(close(u), 0);
	CHECK(now() - t < LONG - 3);
}

CASE(linger_last_descriptor)
{
	int s[2];
	struct linger l = {1, SHORT};
	full(s, LONG);
	int d = OK(dup(s[0]));
	double t = now();
	EQ(close(s[0]), 0);
	CHECK(now() - t < LONG - 3);
	OK(setsockopt(d, SOL_SOCKET, SO_LINGER, &l, sizeof l));
	int null = OK(open("/dev/null", O_RDONLY));
	t = now();
	EQ(dup2(null, d), d);
	CHECK(now() - t >= 0.9 * SHORT);
}

CASE(linger_close_range)
{
	int s[2];
	full(s, SHORT);
	double t = now();
	EQ(syscall(SYS_close_range, s[0], s[0], 0), 0);
	CHECK(now() - t >= 0.9 * SHORT);
}

static void on_alarm(int sig __attribute__((unused))) {}

CASE(linger_signal)
{
	int s[2];
	struct sigaction a = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	struct itimerval in = {.it_value.tv_usec = 300000, .it_interval.tv_usec = 300000};
	full(s, LONG);
	OK(sigaction(SIGALRM, &a, NULL));
	double t = now();
	OK(setitimer(ITIMER_REAL, &in, NULL));
	EQ(close(s[0]), 0);
	t = now() - t;
	CHECK(t >= 0.2);
	CHECK(t < LONG - 3);
}

// A process that ends does not wait.
CASE(linger_exit)
{
	double t = now();
	pid_t child = OK(fork());
	if (child == 0) {
		int s[2];
		full(s, LONG);
		_exit(0);
	}
	int status;
	EQ(waitpid(child, &status, 0), child);
	EQ(status, 0);
	CHECK(now() - t < LONG - 3);
}

HELPER(nothing) { return 0; }

CASE(linger_exec)
{
	double t = now();
	pid_t child = OK(fork());
	if (child == 0) {
		int s[2];
		full(s, SHORT);
		OK(fcntl(s[0], F_SETFD, FD_CLOEXEC));
		execl(self_path, self_path, "--helper", "nothing", NULL);
		_exit(1);
	}
	int status;
	EQ(waitpid(child, &status, 0), child);
	EQ(status, 0);
	CHECK(now() - t >= 0.9 * SHORT);
}
