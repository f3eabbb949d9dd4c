// sendfile(2) from a regular file to a TCP socket, again and again while the file changes.
#include "inet.h"
#include <poll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

enum { size = 150000 };

static char want[size], got[size];

static void connected(int s[2])
{
	struct sockaddr_in a = addr(0);
	int l = OK(socket(AF_INET, SOCK_STREAM, 0));
	OK(bind(l, (void *)&a, sizeof a));
	OK(listen(l, 1));
	a = addr(port_of(l));
	s[0] = OK(socket(AF_INET, SOCK_STREAM, 0));
	OK(connect(s[0], (void *)&a, sizeof a));
	s[1] = OK(accept(l, NULL, NULL));
	OK(close(l));
}

// sends checks that fd, sent from its beginning, is the first n bytes of want, and then ends.
static void sends(int s[2], int fd, int n)
{
	off_t off = 0;
	while (off < n) {
		int from = off, k = OK(sendfile(s[0], fd, &off, size));
		CHECK(k > 0);
		EQ(off, from + k);
		EQ(recv(s[1], got + from, k, MSG_WAITALL), k);
	}
	EQ(sendfile(s[0], fd, &off, size), 0);
	EQ(off, n);
	EQ(memcmp(got, want, n), 0);
}

// filled makes a file that has want.
static int filled(const char *name)
{
	int fd = OK(open(name, O_CREAT | O_RDWR, 0600));
	EQ(write(fd, want, size), size);
	return fd;
}

CASE(sendfile_of_files_that_change)
{
	int s[2];
	connected(s);
	for (int i = 0; i < size; i++)
		want[i] = i * 7 + i / 1000;
	int written = filled("written"), mapped = filled("mapped"), cut = filled("cut"), follows = filled("follows");
	sends(s, written, size);
	// A kernel may remember a file that has not changed for a while.
	poll(NULL, 0, 3100);
	for (int i = 0; i < 2; i++) {
		sends(s, written, size);
		sends(s, mapped, size);
		sends(s, cut, size);
	}

	// What follows does not run into what was sent.
	for (int i = 0; i < 3; i++) {
		off_t off = 0;
		EQ(write(s[0], "head", 4), 4);
		EQ(sendfile(s[0], follows, &off, 40000), 40000);
		EQ(write(s[0], "tail", 4), 4);
		EQ(recv(s[1], got, 40008, MSG_WAITALL), 40008);
		EQ(memcmp(got, "head", 4), 0);
		EQ(memcmp(got + 4, want, 40000), 0);
		EQ(memcmp(got + 40004, "tail", 4), 0);
		EQ(lseek(follows, 1000, SEEK_SET), 1000);
		EQ(sendfile(s[0], follows, NULL, 30000), 30000);
		EQ(lseek(follows, 0, SEEK_CUR), 31000);
		EQ(recv(s[1], got, 30000, MSG_WAITALL), 30000);
		EQ(memcmp(got, want + 1000, 30000), 0);
	}

	want[100] ^= 1;
	want[size - 1] ^= 1;
	EQ(pwrite(written, want + 100, 1, 100), 1);
	EQ(pwrite(written, want + size - 1, 1, size - 1), 1);
	sends(s, written, size);
	want[100] ^= 1;
	want[size - 1] ^= 1;

	char *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, mapped, 0);
	CHECK(m != MAP_FAILED);
	for (int i = 0; i < 3; i++) {
		m[70000] = want[70000] ^= 1 << i;
		sends(s, mapped, size);
	}
	OK(munmap(m, size));
	sends(s, mapped, size);
	want[70000] ^= 7;

	OK(ftruncate(cut, 80000));
	sends(s, cut, 80000);
	int other = OK(open("cut", O_RDWR | O_TRUNC));
	memmove(want, want + 10, 50000);
	EQ(write(other, want, 50000), 50000);
	sends(s, cut, 50000);
}
