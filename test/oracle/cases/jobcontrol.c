// setsid(2), setpgid(2), controlling terminals, stops by the terminal, ptys, termios.
#include "oracle.h"
#include <sys/ioctl.h>
#include <termios.h>

static char pts_name[64];

// Opens a pty pair; the slave does not become the controlling terminal.
static int open_pty(int *slave)
{
	int m = OK(open("/dev/ptmx", O_RDWR | O_NOCTTY)), zero = 0, n;
	OK(ioctl(m, TIOCSPTLCK, &zero));
	OK(ioctl(m, TIOCGPTN, &n));
	sprintf(pts_name, "/dev/pts/%d", n);
	if (slave)
		*slave = OK(open(pts_name, O_RDWR | O_NOCTTY));
	return m;
}

static void raw(int fd)
{
	struct termios t;
	OK(tcgetattr(fd, &t));
	cfmakeraw(&t);
	OK(tcsetattr(fd, TCSANOW, &t));
}

CASE(setsid_semantics)
{
	ERR(setsid(), EPERM); // the case is a session leader already
	CHILD(k) {
		EQ(getsid(0), getppid());
		EQ(setsid(), getpid());
		EQ(getsid(0), getpid());
		EQ(getpgrp(), getpid());
		ERR(open("/dev/tty", O_RDWR), ENXIO);
	}
	REAP(k);
	CHILD(m) {
		OK(setpgid(0, 0));
		ERR(setsid(), EPERM); // a group leader
	}
	REAP(m);
}

CASE(setpgid_semantics)
{
	ERR(setpgid(0, 0), EPERM); // a session leader
	ERR(setpgid(0, -1), EINVAL);
	ERR(setpgid(4000000, 0), ESRCH);
	ERR(getpgid(4000000), ESRCH);
	ERR(getsid(4000000), ESRCH);
	CHILD(k) {
		EQ(getpgrp(), getppid());
		ERR(setpgid(0, 4000000), EPERM);
		OK(setpgid(0, 0));
		EQ(getpgrp(), getpid());
		OK(setpgid(0, getppid()));
		EQ(getpgid(0), getppid());
	}
	REAP(k);
}

HELPER(pause)
{
	write(1, "x", 1);
	for (;;)
		pause();
}

CASE(setpgid_after_exec_of_child)
{
	int p[2];
	char b;
	OK(pipe(p));
	CHILD(k) {
		OK(dup2(p[1], 1));
		execl(self_path, "x", "--helper", "pause", NULL);
	}
	EQ(read(p[0], &b, 1), 1);
	ERR(setpgid(k, k), EACCES);
	OK(kill(k, SIGKILL));
	REAP_SIGNAL(k, SIGKILL);
}

CASE(pty_raw_data)
{
	int s, m = open_pty(&s);
	char b[16];
	raw(s);
	EQ(write(m, "abc\n", 4), 4);
	EQ(read(s, b, 16), 4);
	EQ(memcmp(b, "abc\n", 4), 0);
	EQ(write(s, "x\ny", 3), 3);
	EQ(read(m, b, 16), 3);
	EQ(memcmp(b, "x\ny", 3), 0);
	EQ(isatty(s), 1);
	EQ(isatty(m), 1);
}

CASE(pty_canonical_mode)
{
	int s, m = open_pty(&s), n;
	char b[64];
	struct termios t;
	OK(tcgetattr(s, &t));
	CHECK(t.c_lflag & ICANON);
	CHECK(t.c_lflag & ECHO);
	CHECK(t.c_lflag & ISIG);
	CHECK(t.c_iflag & ICRNL);
	CHECK(t.c_oflag & ONLCR);
	EQ(t.c_cc[VINTR], 3);
	EQ(t.c_cc[VEOF], 4);
	EQ(t.c_cc[VERASE], 127);
	t.c_lflag &= ~ECHO;
	OK(tcsetattr(s, TCSANOW, &t));
	struct pollfd p = {s, POLLIN, 0};
	EQ(write(m, "par", 3), 3);
	EQ(poll(&p, 1, 20), 0); // no line yet
	OK(ioctl(s, FIONREAD, &n));
	EQ(n, 0);
	EQ(write(m, "t\177tial\rmore", 11), 11); // erase takes the first t back, CR becomes NL
	EQ(poll(&p, 1, 5000), 1);
	EQ(read(s, b, 64), 8);
	EQ(memcmp(b, "partial\n", 8), 0);
	EQ(write(m, "\n", 1), 1);
	EQ(read(s, b, 2), 2); // a line may be read in parts
	EQ(read(s, b + 2, 64), 3);
	EQ(memcmp(b, "more\n", 5), 0);
	EQ(write(m, "\4", 1), 1);
	EQ(read(s, b, 64), 0); // end of file
	EQ(write(m, "ab\4", 3), 3);
	EQ(read(s, b, 64), 2);
}

CASE(pty_kill_and_word_erase)
{
	int s, m = open_pty(&s);
	char b[64];
	struct termios t;
	OK(tcgetattr(s, &t));
	t.c_lflag &= ~ECHO;
	OK(tcsetattr(s, TCSANOW, &t));
	EQ(write(m, "junk\025one two\027three\n", 19), 19);
	EQ(read(s, b, 64), 10);
	EQ(memcmp(b, "one three\n", 10), 0);
	EQ(write(m, "a\026\003b\n", 5), 5); // ^V quotes the ^C
	EQ(read(s, b, 64), 4);
	EQ(memcmp(b, "a\003b\n", 4), 0);
}

// shows checks that a pseudo-terminal's master says text next, which may come in parts.
static void shows(int master, const char *text)
{
	char b[64];
	size_t got = 0;
	while (got < strlen(text)) got += OK(read(master, b + got, sizeof b - got));
	EQ(got, strlen(text));
	EQ(memcmp(b, text, got), 0);
}

CASE(pty_echo_and_output_processing)
{
	int s, m = open_pty(&s);
	EQ(write(m, "hi\n", 3), 3);
	shows(m, "hi\r\n");
	EQ(write(s, "out\n", 4), 4);
	shows(m, "out\r\n");
	EQ(write(m, "\001", 1), 1);
	shows(m, "^A");
}

CASE(pty_window_size)
{
	int s, m = open_pty(&s);
	struct winsize w = {24, 80, 0, 0}, g;
	OK(ioctl(m, TIOCGWINSZ, &g));
	EQ(g.ws_row, 0);
	OK(ioctl(m, TIOCSWINSZ, &w));
	OK(ioctl(s, TIOCGWINSZ, &g));
	EQ(g.ws_row, 24);
	EQ(g.ws_col, 80);
}

CASE(pty_close_master_hangs_up)
{
	int s, m = open_pty(&s);
	char b[4];
	raw(s);
	OK(close(m));
	EQ(read(s, b, 4), 0);
	ERR(write(s, "x", 1), EIO);
	struct pollfd p = {s, POLLIN, 0};
	EQ(poll(&p, 1, 0), 1);
	CHECK(p.revents & POLLHUP);
	ERR(open(pts_name, O_RDWR | O_NOCTTY), ENOENT);
}

CASE(pty_close_slave)
{
	int s, m = open_pty(&s);
	char b[4];
	raw(s);
	EQ(write(s, "x", 1), 1);
	OK(close(s));
	EQ(read(m, b, 4), 1); // what was written stays readable
	ERR(read(m, b, 4), EIO);
	s = OK(open(pts_name, O_RDWR | O_NOCTTY)); // and it can be opened again
	OK(fcntl(m, F_SETFL, O_NONBLOCK));
	ERR(read(m, b, 4), EAGAIN);
}

CASE(pty_locked_until_unlocked)
{
	int m = OK(open("/dev/ptmx", O_RDWR | O_NOCTTY)), n, v;
	char path[32];
	OK(ioctl(m, TIOCGPTN, &n));
	sprintf(path, "/dev/pts/%d", n);
	OK(ioctl(m, TIOCGPTLCK, &v));
	EQ(v, 1);
	ERR(open(path, O_RDWR | O_NOCTTY), EIO);
	v = 0;
	OK(ioctl(m, TIOCSPTLCK, &v));
	OK(open(path, O_RDWR | O_NOCTTY));
	struct stat st;
	OK(stat(path, &st));
	CHECK(S_ISCHR(st.st_mode));
	EQ(st.st_rdev >> 8, 136);
	EQ(st.st_uid, 0);
}

CASE(pty_peer_without_a_name)
{
	for (int i = 0; i < 20; i++) {
		int m = OK(open("/dev/ptmx", O_RDWR | O_NOCTTY)), n, zero = 0;
		char path[32], fd[32], found[32] = "", b = 0;
		ERR(ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY), EIO); // locked
		OK(ioctl(m, TIOCSPTLCK, &zero));
		OK(ioctl(m, TIOCGPTN, &n));
		int s = OK(ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY));
		snprintf(path, sizeof path, "/dev/pts/%d", n);
		snprintf(fd, sizeof fd, "/proc/self/fd/%d", s);
		OK(readlink(fd, found, sizeof found - 1));
		STREQ(found, path);
		EQ(write(m, "x\n", 2), 2);
		EQ(read(s, &b, 1), 1);
		EQ(b, 'x');
		OK(close(s));
		OK(close(m));
	}
}

CASE(pty_nonblocking_and_min_time)
{
	int s, m = open_pty(&s);
	char b[8];
	struct termios t;
	raw(s);
	OK(fcntl(s, F_SETFL, O_NONBLOCK));
	ERR(read(s, b, 8), EAGAIN);
	OK(fcntl(s, F_SETFL, 0));
	OK(tcgetattr(s, &t));
	t.c_cc[VMIN] = 0;
	t.c_cc[VTIME] = 0;
	OK(tcsetattr(s, TCSANOW, &t));
	EQ(read(s, b, 8), 0);
	t.c_cc[VTIME] = 1;
	OK(tcsetattr(s, TCSANOW, &t));
	long long x = now_ms();
	EQ(read(s, b, 8), 0);
	CHECK(now_ms() - x >= 90);
	t.c_cc[VMIN] = 3;
	t.c_cc[VTIME] = 0;
	OK(tcsetattr(s, TCSANOW, &t));
	CHILD(k) {
		EQ(write(m, "a", 1), 1);
		msleep(20);
		EQ(write(m, "bc", 2), 2);
	}
	EQ(read(s, b, 8), 3);
	REAP(k);
}

CASE(pty_flush)
{
	int s, m = open_pty(&s), n;
	raw(s);
	EQ(write(m, "abc", 3), 3);
	struct pollfd p = {s, POLLIN, 0};
	EQ(poll(&p, 1, 5000), 1);
	OK(ioctl(s, FIONREAD, &n));
	EQ(n, 3);
	OK(tcflush(s, TCIFLUSH));
	EQ(poll(&p, 1, 0), 0);
	ERR(tcflush(s, 99), EINVAL);
}

// Runs f as the leader of a new session with the pty as controlling terminal, and
// returns what its exit status is.
static void in_session(void (*f)(int tty, int master))
{
	int s, m = open_pty(&s);
	CHILD(k) {
		signal(SIGHUP, SIG_IGN); // sent when the leader's terminal goes away
		OK(setsid());
		OK(ioctl(s, TIOCSCTTY, 0));
		f(s, m);
	}
	REAP(k);
}

static void controlling(int tty, int master)
{
	int fd = OK(open("/dev/tty", O_RDWR)), sid = 0;
	EQ(tcgetpgrp(fd), getpgrp());
	OK(ioctl(tty, TIOCGSID, &sid));
	EQ(sid, getsid(0));
	EQ(tcgetpgrp(master), getpgrp());
	raw(tty);
	EQ(write(fd, "x", 1), 1);
	char b;
	EQ(read(master, &b, 1), 1);
	ERR(tcsetpgrp(tty, 4000000), ESRCH);
	OK(ioctl(tty, TIOCNOTTY));
	ERR(open("/dev/tty", O_RDWR), ENXIO);
}

CASE(controlling_terminal)
{
	in_session(controlling);
}

CASE(controlling_terminal_by_open)
{
	int m = open_pty(NULL);
	(void)m;
	CHILD(k) {
		OK(setsid());
		OK(open(pts_name, O_RDWR)); // a session leader without a terminal gets it
		OK(open("/dev/tty", O_RDWR));
	}
	REAP(k);
	CHILD(n) {
		OK(setsid());
		OK(open(pts_name, O_RDWR | O_NOCTTY));
		ERR(open("/dev/tty", O_RDWR), ENXIO);
	}
	REAP(n);
}

static volatile sig_atomic_t got[65];
static void note(int s)
{
	got[s]++;
}

static void keys(int tty, int master)
{
	(void)tty;
	set_handler(SIGINT, note, SA_RESTART);
	set_handler(SIGQUIT, note, SA_RESTART);
	set_handler(SIGTSTP, note, SA_RESTART);
	EQ(write(master, "\003", 1), 1);
	WAIT_FOR(got[SIGINT] == 1);
	EQ(write(master, "\034", 1), 1);
	WAIT_FOR(got[SIGQUIT] == 1);
	EQ(write(master, "\032", 1), 1);
	WAIT_FOR(got[SIGTSTP] == 1);
}

CASE(terminal_keys_send_signals)
{
	in_session(keys);
}

static void resize(int tty, int master)
{
	struct winsize w = {30, 90, 0, 0};
	(void)tty;
	set_handler(SIGWINCH, note, 0);
	OK(ioctl(master, TIOCSWINSZ, &w));
	WAIT_FOR(got[SIGWINCH] == 1);
	OK(ioctl(master, TIOCSWINSZ, &w)); // the same size again: no signal
	msleep(20);
	EQ(got[SIGWINCH], 1);
}

CASE(resize_sends_sigwinch)
{
	in_session(resize);
}

static void background(int tty, int master)
{
	int st;
	(void)master;
	CHILD(k) {
		char b;
		OK(setpgid(0, 0));
		read(tty, &b, 1);
	}
	EQ(waitpid(k, &st, WUNTRACED), k);
	CHECK(WIFSTOPPED(st));
	EQ(WSTOPSIG(st), SIGTTIN);
	OK(kill(k, SIGKILL));
	REAP_SIGNAL(k, SIGKILL);
	CHILD(n) {
		char b;
		OK(setpgid(0, 0));
		signal(SIGTTIN, SIG_IGN);
		ERR(read(tty, &b, 1), EIO);
	}
	REAP(n);
}

CASE(background_read_stops)
{
	in_session(background);
}

static void background_write(int tty, int master)
{
	struct termios t;
	int st;
	(void)master;
	CHILD(a) {
		OK(setpgid(0, 0));
		EQ(write(tty, "x", 1), 1); // allowed without TOSTOP
	}
	REAP(a);
	OK(tcgetattr(tty, &t));
	t.c_lflag |= TOSTOP;
	OK(tcsetattr(tty, TCSANOW, &t));
	CHILD(k) {
		OK(setpgid(0, 0));
		write(tty, "x", 1);
	}
	EQ(waitpid(k, &st, WUNTRACED), k);
	EQ(WSTOPSIG(st), SIGTTOU);
	OK(kill(k, SIGKILL));
	REAP_SIGNAL(k, SIGKILL);
	CHILD(c) {
		OK(setpgid(0, 0));
		OK(tcsetpgrp(tty, getpgrp())); // stops too, whatever TOSTOP says
	}
	EQ(waitpid(c, &st, WUNTRACED), c);
	EQ(WSTOPSIG(st), SIGTTOU);
	OK(kill(c, SIGKILL));
	REAP_SIGNAL(c, SIGKILL);
}

CASE(background_write_and_tostop)
{
	in_session(background_write);
}

static void foreground_switch(int tty, int master)
{
	char b[4];
	int p[2];
	OK(pipe(p));
	CHILD(k) {
		OK(setpgid(0, 0));
		EQ(read(p[0], b, 1), 1);
		EQ(tcgetpgrp(tty), getpgrp());
		EQ(read(tty, b, 4), 3);
	}
	setpgid(k, k);
	signal(SIGTTOU, SIG_IGN);
	OK(tcsetpgrp(tty, k));
	EQ(write(p[1], "x", 1), 1);
	EQ(write(master, "ok\n", 3), 3);
	REAP(k);
	OK(tcsetpgrp(tty, getpgrp()));
}

CASE(foreground_group_changes)
{
	in_session(foreground_switch);
}

CASE(session_leader_exit_hangs_up)
{
	int s, m = open_pty(&s), p[2];
	char b;
	(void)m;
	OK(pipe(p));
	CHILD(k) {
		OK(setsid());
		OK(ioctl(s, TIOCSCTTY, 0));
		int ready[2];
		OK(pipe(ready));
		if (OK(fork()) == 0) {
			sigset_t set;
			int sig;
			sigemptyset(&set);
			sigaddset(&set, SIGHUP);
			OK(sigprocmask(SIG_BLOCK, &set, NULL));
			EQ(write(ready[1], "x", 1), 1);
			EQ(sigwait(&set, &sig), 0); // sent to the foreground group
			EQ(write(p[1], "h", 1), 1);
			_exit(0);
		}
		EQ(read(ready[0], &b, 1), 1);
	}
	OK(close(p[1]));
	EQ(read(p[0], &b, 1), 1);
	REAP(k);
	EQ(write(s, "x", 1), 1); // the pty itself is not hung up
}

CASE(orphaned_group_gets_sighup_and_sigcont)
{
	int p[2];
	char b[4];
	OK(pipe(p));
	CHILD(k) {
		pid_t g = OK(fork());
		if (g == 0) {
			OK(setpgid(0, 0));
			sigset_t set;
			sigemptyset(&set);
			sigaddset(&set, SIGHUP);
			OK(sigprocmask(SIG_BLOCK, &set, NULL));
			raise(SIGSTOP);
			// goes on only by the kernel's SIGCONT
			int sig;
			EQ(sigwait(&set, &sig), 0);
			EQ(write(p[1], "c", 1), 1);
			_exit(0);
		}
		int st;
		EQ(waitpid(g, &st, WUNTRACED), g);
		CHECK(WIFSTOPPED(st));
	}
	REAP(k);
	EQ(read(p[0], b, 1), 1);
}

CASE(terminal_stop_ignored_in_orphaned_group)
{
	CHILD(k) {
		if (OK(fork()) == 0) {
			OK(setsid()); // its parent is in another session: an orphaned group
			raise(SIGTSTP);
			raise(SIGTTIN);
			_exit(0);
		}
		int st;
		OK(wait(&st));
		EQ(st, 0);
	}
	REAP(k);
}

CASE(tty_ioctl_on_other_files)
{
	struct termios t;
	struct winsize w;
	put_file("f", "");
	int fd = OK(open("f", O_RDWR)), null = OK(open("/dev/null", O_RDWR));
	ERR(ioctl(fd, TCGETS, &t), ENOTTY);
	ERR(ioctl(null, TCGETS, &t), ENOTTY);
	ERR(ioctl(fd, TIOCGWINSZ, &w), ENOTTY);
	ERR(ioctl(999, TCGETS, &t), EBADF);
	EQ(isatty(fd), 0);
	int s, m = open_pty(&s);
	ERR(ioctl(s, TCGETS, BAD_PTR), EFAULT);
	ERR(ioctl(m, 0x5499, 0), ENOTTY);
}
