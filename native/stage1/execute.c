#include "execute.h"

#include "fail.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

static void __attribute__((noreturn)) cannot_execute(const char *path, int err)
{
	errno = err;
	if (err == ENOENT && access(path, F_OK) == 0) {
		fail_as("app", EXIT_NOT_EXECUTABLE);
		fail("%s: its interpreter or loader is not in the image", path);
	}
	errno = err;
	fail_as("app", err == ENOENT || err == ENOTDIR ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
	fail_errno("%s", path);
}

static const char *search_path(struct plan_list env)
{
	for (size_t i = 0; i < env.count; i++)
		if (strncmp(env.item[i], "PATH=", 5) == 0)
			return env.item[i] + 5;
	return "";
}

void execute(struct plan_list argv, struct plan_list env)
{
	const char *name = argv.item[0];
	int denied = 0;

	if (strchr(name, '/') != NULL || *name == 0) {
		execve(name, argv.item, env.item);
		cannot_execute(name, errno);
	}
	for (const char *at = search_path(env); *at != 0;) {
		size_t length = strcspn(at, ":");
		char path[PATH_BYTES];

		if (snprintf(path, sizeof path, "%.*s/%s", (int)length, length > 0 ? at : ".", name) < (int)sizeof path) {
			int err;

			execve(path, argv.item, env.item);
			err = errno;
			if (err == EACCES)
				denied = 1;
			else if ((err != ENOENT && err != ENOTDIR) || access(path, F_OK) == 0)
				cannot_execute(path, err);
		}
		at += length + (at[length] == ':');
	}
	cannot_execute(name, denied ? EACCES : ENOENT);
}
