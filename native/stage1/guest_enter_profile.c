#include "guest_enter_profile.h"

#include "fail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_BYTES = 64, MAX_BYTES = 8 << 20, MAX_PIECES = 4096 };

const char *enter_profile_make(struct enter_profile *p, unsigned number)
{
	snprintf(p->path, sizeof p->path, "/s1/enter/%u", number);
	p->bytes = p->pieces = 0;
	p->directory = mkdir(p->path, 0700) < 0 ? -1 : open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return p->directory < 0 ? strerror(errno) : NULL;
}

const char *enter_profile_add(struct enter_profile *p, const struct frame *frame)
{
	const char *name = (const char *)frame->payload;
	size_t length = strnlen(name, frame->size), size;
	int fd;
	ssize_t n;

	if (length == 0 || length == frame->size || length >= NAME_BYTES ||
	    strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") != length || name[0] == '.')
		return "a file of the profile has a name that is none";
	size = frame->size - length - 1;
	p->bytes += size;
	if (p->bytes > MAX_BYTES || ++p->pieces > MAX_PIECES)
		return "the profile is too long";
	fd = openat(p->directory, name, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return strerror(errno);
	n = write(fd, name + length + 1, size);
	close(fd);
	return n == (ssize_t)size ? NULL : "no room for the profile";
}

void enter_profile_remove(struct enter_profile *p)
{
	DIR *directory = p->directory < 0 ? NULL : fdopendir(p->directory);
	struct dirent *entry;

	if (directory == NULL)
		return;
	while ((entry = readdir(directory)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			unlinkat(p->directory, entry->d_name, 0);
	closedir(directory);
	p->directory = -1;
	if (rmdir(p->path) < 0)
		warn_errno("%s", p->path);
}
