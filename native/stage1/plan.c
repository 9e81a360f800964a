#include "plan.h"

#include "fail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct plan_bytes plan_read_bytes(int dirfd, const char *name, size_t max_bytes)
{
	struct plan_bytes out = {0, NULL};
	struct stat st;
	int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		fail_errno("plan file %s", name);
	if (fstat(fd, &st) < 0)
		fail_errno("plan file %s", name);
	if (!S_ISREG(st.st_mode))
		fail("plan file %s is not a regular file", name);
	if (st.st_size < 0 || (size_t)st.st_size > max_bytes)
		fail("plan file %s has %lld bytes, at most %zu are taken", name, (long long)st.st_size, max_bytes);
	out.data = malloc((size_t)st.st_size + 1);
	if (out.data == NULL)
		fail("plan file %s: no memory for %lld bytes", name, (long long)st.st_size);
	while (out.size < (size_t)st.st_size) {
		ssize_t n = read(fd, out.data + out.size, (size_t)st.st_size - out.size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			fail_errno("plan file %s", name);
		if (n == 0)
			fail("plan file %s became shorter while it was read", name);
		out.size += (size_t)n;
	}
	out.data[out.size] = 0;
	close(fd);
	return out;
}

struct plan_list plan_read_list(int dirfd, const char *name)
{
	struct plan_bytes file = plan_read_bytes(dirfd, name, PLAN_MAX_FILE_BYTES);
	struct plan_list out = {0, NULL};
	size_t at = 0;

	if (file.size > 0 && file.data[file.size - 1] != 0)
		fail("plan file %s does not end with a NUL", name);
	for (size_t i = 0; i < file.size; i++)
		out.count += file.data[i] == 0;
	if (out.count > PLAN_MAX_ITEMS)
		fail("plan file %s has %zu items, at most %d are taken", name, out.count, PLAN_MAX_ITEMS);
	out.item = calloc(out.count + 1, sizeof *out.item);
	if (out.item == NULL)
		fail("plan file %s: no memory for %zu items", name, out.count);
	for (size_t i = 0; i < out.count; i++) {
		out.item[i] = (char *)file.data + at;
		at += strlen(out.item[i]) + 1;
	}
	return out;
}

struct plan_list plan_read_records(int dirfd, const char *name, size_t fields)
{
	struct plan_list list = plan_read_list(dirfd, name);

	if (list.count % fields != 0)
		fail("plan file %s: %zu items are no records of %zu", name, list.count, fields);
	return list;
}

int plan_choice(const char *text, const char *first, const char *second, const char *what)
{
	if (strcmp(text, first) == 0)
		return 0;
	if (strcmp(text, second) == 0)
		return 1;
	fail("%s is \"%s\", wanted %s or %s", what, text, first, second);
}

char *plan_read_text(int dirfd, const char *name)
{
	struct plan_list list = plan_read_list(dirfd, name);

	if (list.count != 1)
		fail("plan file %s has %zu items, wanted one", name, list.count);
	return list.item[0];
}

unsigned long plan_number(const char *text, unsigned long max, const char *what)
{
	unsigned long value = 0;

	if (*text == 0)
		fail("%s: empty, wanted a decimal number", what);
	for (const char *p = text; *p != 0; p++) {
		unsigned long digit = (unsigned long)(*p - '0');

		if (*p < '0' || *p > '9')
			fail("%s: \"%s\" is not a decimal number", what, text);
		if (digit > max || value > (max - digit) / 10)
			fail("%s: %s is more than %lu", what, text, max);
		value = value * 10 + digit;
	}
	return value;
}

unsigned long plan_read_number(int dirfd, const char *name, unsigned long max)
{
	return plan_number(plan_read_text(dirfd, name), max, name);
}

struct plan_list plan_read_apps(int dirfd, const char *name)
{
	struct plan_list apps = plan_read_list(dirfd, name);

	if (apps.count == 0 || apps.count > PLAN_MAX_APPS)
		fail("plan file %s names %zu apps, wanted 1 to %d", name, apps.count, PLAN_MAX_APPS);
	for (size_t i = 0; i < apps.count; i++) {
		size_t length = strspn(apps.item[i], "abcdefghijklmnopqrstuvwxyz0123456789-");

		if (length == 0 || apps.item[i][length] != 0 || length > PLAN_MAX_NAME_BYTES)
			fail("plan file %s: item %zu is not an app name", name, i);
	}
	return apps;
}
