/* A disk that fails when it is told to, between a process and the C library (LD_PRELOAD).

   What fails is said in a file of 16 rules that the process has mapped, so that a test changes it while
   processes run: which calls, of which files, on which bytes, after how many, how often, with which error.
   A write with error 0 is lost: it claims success and changes nothing, as a page that a failed sync has
   dropped. No header of the C library is needed, so that a compiler alone will do. */

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

enum { READ = 1, WRITE = 2, SYNC = 4, ALLOCATE = 8, RENAME = 16 };

struct rule {
	volatile int64_t operations; /* 0: not in force */
	volatile int64_t left;       /* how often still; below 0: for ever */
	volatile int64_t skip;       /* calls that are let through before */
	volatile int64_t error;
	volatile int64_t first, end; /* bytes that it concerns; of calls that name any */
	volatile int64_t hits;
	char name[72];               /* part of the path */
};

#define RULES 16
#define NEXT ((void *)-1L)
#define PASS (-1)

struct piece { void *base; size_t size; };

extern char *getenv(const char *);
extern int open(const char *, int, ...);
extern void *mmap(void *, size_t, int, int, int, long);
extern long readlink(const char *, char *, size_t);
extern char *strstr(const char *, const char *);
extern int *__errno_location(void);
extern void *dlsym(void *, const char *);

static struct rule *rules;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("FAILING_DISK");
	int fd = path ? open(path, 2 | 02000000) : -1;
	void *found = fd < 0 ? NEXT : mmap(NULL, RULES * sizeof(struct rule), 3, 1, fd, 0);
	if (found != NEXT)
		rules = found;
}

/* A name that ends in $ is the end of a path. */
static int concerns(const char *name, const char *path)
{
	long named = 0, size = 0;
	while (name[named])
		named++;
	while (path[size])
		size++;
	if (!named || name[named - 1] != '$')
		return strstr(path, name) != NULL;
	if (--named > size)
		return 0;
	for (long index = 0; index < named; index++)
		if (name[index] != path[size - named + index])
			return 0;
	return 1;
}

/* The error that this call is to have, or PASS. */
static int64_t verdict(int64_t operation, const char *path, int64_t offset, int64_t length)
{
	for (struct rule *rule = rules; rules && rule < rules + RULES; rule++) {
		if (!(rule->operations & operation) || !rule->left || !concerns(rule->name, path))
			continue;
		if (length && (offset >= rule->end || offset + length <= rule->first))
			continue;
		if (__atomic_fetch_sub(&rule->skip, 1, __ATOMIC_SEQ_CST) > 0)
			continue;
		if (rule->left > 0)
			__atomic_fetch_sub(&rule->left, 1, __ATOMIC_SEQ_CST);
		__atomic_fetch_add(&rule->hits, 1, __ATOMIC_SEQ_CST);
		return rule->error;
	}
	return PASS;
}

static int armed(int64_t operation)
{
	for (struct rule *rule = rules; rules && rule < rules + RULES; rule++)
		if (rule->operations & operation && rule->left)
			return 1;
	return 0;
}

static int64_t judge(int64_t operation, int fd, int64_t offset, int64_t length)
{
	char link[32] = "/proc/self/fd/", path[512], digits[12];
	int count = 0, at = 14;
	long size;

	if (fd < 0 || !armed(operation))
		return PASS;
	for (int rest = fd; !count || rest; rest /= 10)
		digits[count++] = '0' + rest % 10;
	while (count)
		link[at++] = digits[--count];
	link[at] = 0;
	size = readlink(link, path, sizeof path - 1);
	if (size <= 0)
		return PASS;
	path[size] = 0;
	return verdict(operation, path, offset, length);
}

static int64_t total(const struct piece *pieces, int count)
{
	int64_t size = 0;
	for (int index = 0; index < count; index++)
		size += pieces[index].size;
	return size;
}

#define FAIL(error) do { *__errno_location() = (int)(error); return -1; } while (0)
#define REAL(type, name, parameters) \
	static type (*real) parameters; \
	if (!real) \
		real = (type (*) parameters)dlsym(NEXT, name)

#define PREAD(name) \
	long name(int fd, void *to, size_t length, long offset) \
	{ \
		REAL(long, #name, (int, void *, size_t, long)); \
		int64_t error = judge(READ, fd, offset, length); \
		if (error > 0) \
			FAIL(error); \
		return real(fd, to, length, offset); \
	}
PREAD(pread)
PREAD(pread64)

#define PREADV(name) \
	long name(int fd, const struct piece *to, int count, long offset) \
	{ \
		REAL(long, #name, (int, const struct piece *, int, long)); \
		int64_t error = judge(READ, fd, offset, total(to, count)); \
		if (error > 0) \
			FAIL(error); \
		return real(fd, to, count, offset); \
	}
PREADV(preadv)
PREADV(preadv64)

#define PREADV2(name) \
	long name(int fd, const struct piece *to, int count, long offset, int flags) \
	{ \
		REAL(long, #name, (int, const struct piece *, int, long, int)); \
		int64_t error = judge(READ, fd, offset, total(to, count)); \
		if (error > 0) \
			FAIL(error); \
		return real(fd, to, count, offset, flags); \
	}
PREADV2(preadv2)
PREADV2(preadv64v2)

#define PWRITE(name) \
	long name(int fd, const void *from, size_t length, long offset) \
	{ \
		REAL(long, #name, (int, const void *, size_t, long)); \
		int64_t error = judge(WRITE, fd, offset, length); \
		if (error > 0) \
			FAIL(error); \
		return error == 0 ? (long)length : real(fd, from, length, offset); \
	}
PWRITE(pwrite)
PWRITE(pwrite64)

#define PWRITEV(name) \
	long name(int fd, const struct piece *from, int count, long offset) \
	{ \
		REAL(long, #name, (int, const struct piece *, int, long)); \
		int64_t size = total(from, count), error = judge(WRITE, fd, offset, size); \
		if (error > 0) \
			FAIL(error); \
		return error == 0 ? size : real(fd, from, count, offset); \
	}
PWRITEV(pwritev)
PWRITEV(pwritev64)

#define PWRITEV2(name) \
	long name(int fd, const struct piece *from, int count, long offset, int flags) \
	{ \
		REAL(long, #name, (int, const struct piece *, int, long, int)); \
		int64_t size = total(from, count), error = judge(WRITE, fd, offset, size); \
		if (error > 0) \
			FAIL(error); \
		return error == 0 ? size : real(fd, from, count, offset, flags); \
	}
PWRITEV2(pwritev2)
PWRITEV2(pwritev64v2)

long write(int fd, const void *from, size_t length)
{
	REAL(long, "write", (int, const void *, size_t));
	int64_t error = judge(WRITE, fd, 0, length);
	if (error > 0)
		FAIL(error);
	return error == 0 ? (long)length : real(fd, from, length);
}

#define SYNCING(name) \
	int name(int fd) \
	{ \
		REAL(int, #name, (int)); \
		int64_t error = judge(SYNC, fd, 0, 0); \
		if (error > 0) \
			FAIL(error); \
		return real(fd); \
	}
SYNCING(fdatasync)
SYNCING(fsync)

#define FALLOCATE(name) \
	int name(int fd, int mode, long offset, long length) \
	{ \
		REAL(int, #name, (int, int, long, long)); \
		int64_t error = judge(ALLOCATE, fd, offset, length); \
		if (error > 0) \
			FAIL(error); \
		return real(fd, mode, offset, length); \
	}
FALLOCATE(fallocate)
FALLOCATE(fallocate64)

int rename(const char *old, const char *new)
{
	REAL(int, "rename", (const char *, const char *));
	int64_t error = armed(RENAME) ? verdict(RENAME, new, 0, 0) : PASS;
	if (error > 0)
		FAIL(error);
	return real(old, new);
}
