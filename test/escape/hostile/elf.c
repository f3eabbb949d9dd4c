// Executes damaged programs.
#include "hostile.h"
#include <elf.h>

static unsigned char *image;
static size_t size;

static void run(void *arg) {
	(void)arg;
	unprivileged(50);
	char *args[] = {"elf", "child", NULL};
	struct rlimit cpu = {1, 1};
	setrlimit(RLIMIT_CPU, &cpu);
	close(1);
	execve("/tmp/damaged", args, args + 2);
	_exit(3);
}

int main(int argc, char **argv) {
	if (argc > 1) return 0;
	long seed = time(NULL);
	int rounds = 400;
	(void)argv;
	rng_state ^= (uint64_t)seed << 20;
	printf("seed %ld\n", seed);
	int in = open("/proc/self/exe", O_RDONLY);
	struct stat st;
	fstat(in, &st);
	size = st.st_size;
	image = malloc(size);
	if (read(in, image, size) != (ssize_t)size) fail("read");
	static const uint64_t odd[] = {0, 1, ~0UL, 1UL << 63, 0x7fffffffffff, 0x7ffffffff000, STUB_START, 0xfff, 1UL << 47, (1UL << 63) - 1, 1UL << 32};
	static unsigned char header[4096];
	memcpy(header, image, sizeof header);
	int survivors = 0;
	for (int i = 0; i < rounds; i++) {
		memcpy(image, header, sizeof header);
		Elf64_Ehdr *e = (Elf64_Ehdr *)image;
		Elf64_Phdr *p = (Elf64_Phdr *)(image + e->e_phoff);
		size_t length = size;
		switch (i % 6) {
		case 0: image[rng() % sizeof *e] ^= 1 << rng() % 8; break;
		case 1: image[rng() % (sizeof *e + e->e_phnum * sizeof *p)] ^= 1 << rng() % 8; break;
		case 2: ((uint64_t *)&p[rng() % e->e_phnum])[1 + rng() % 6] = odd[rng() % COUNT(odd)]; break;
		case 3: length = rng() % 8192; break;
		case 4: p[rng() % e->e_phnum].p_type = rng() % 8; e->e_type = rng() % 5; break;
		case 5:
			e->e_phnum = rng();
			if (rng() % 2) e->e_phoff = odd[rng() % COUNT(odd)];
			if (rng() % 2) e->e_phentsize = rng();
			if (rng() % 2) e->e_entry = odd[rng() % COUNT(odd)];
		}
		unlink("/tmp/damaged");
		int out = open("/tmp/damaged", O_WRONLY | O_CREAT | O_TRUNC, 0755);
		if (out < 0 || write(out, image, length) != (ssize_t)length) fail("write");
		close(out);
		survivors += attempt(run, NULL, 2) == 0;
	}
	printf("%d of %d ran\n", survivors, rounds);
	return survived();
}
