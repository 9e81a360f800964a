#include "rooted.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

static int open_at(int directory, const char *path, int flags, unsigned long long resolve)
{
	struct open_how how = {.flags = (unsigned)(flags | O_CLOEXEC), .resolve = resolve};

	return (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
}

int rooted_open(const char *path, int flags)
{
	return open_at(AT_FDCWD, path, flags, RESOLVE_NO_MAGICLINKS);
}

int rooted_open_in(int root, const char *path, int flags)
{
	return open_at(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

int rooted_make_directory(int root, const char *path)
{
	char walked[PATH_BYTES];
	int at = rooted_open_in(root, "/", O_PATH | O_DIRECTORY);

	if (strlen(path) >= sizeof walked) {
		errno = ENAMETOOLONG;
		close(at);
		return -1;
	}
	strcpy(walked, path);
	for (char *name = walked; at >= 0 && *name != 0;) {
		size_t length = strcspn(name, "/");
		char *end = name + length, after = *end;

		*end = 0;
		if (length > 0) {
			int parent = at;

			at = rooted_open_in(root, walked, O_PATH | O_DIRECTORY);
			if (at < 0 && errno == ENOENT && (mkdirat(parent, name, 0755) == 0 || errno == EEXIST))
				at = rooted_open_in(root, walked, O_PATH | O_DIRECTORY);
			close(parent);
		}
		*end = after;
		name = end + (after == '/');
	}
	return at;
}

int rooted_make_file(int root, const char *path)
{
	char parent[PATH_BYTES];
	const char *slash = strrchr(path, '/');
	int fd = rooted_open_in(root, path, O_PATH), directory, made;

	if (fd >= 0 || errno != ENOENT)
		return fd;
	if (slash == NULL || strlen(path) >= sizeof parent) {
		errno = slash == NULL ? EINVAL : ENAMETOOLONG;
		return -1;
	}
	memcpy(parent, path, (size_t)(slash - path));
	parent[slash - path] = 0;
	directory = rooted_make_directory(root, parent);
	if (directory < 0)
		return -1;
	made = openat(directory, slash + 1, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	close(directory);
	if (made < 0)
		return -1;
	close(made);
	return rooted_open_in(root, path, O_PATH);
}
