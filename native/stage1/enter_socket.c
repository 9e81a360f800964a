#include "enter_socket.h"

#include "fail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 8, PATH_BYTES = 4096 };

int enter_socket_listen(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = ENTER_SOCKET}; /* relative: a pod's path may be too long */
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), bound;
	mode_t before = umask(0177);

	bound = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&address, sizeof address);
	umask(before);
	if (bound < 0 || listen(fd, BACKLOG) < 0)
		fail_errno(ENTER_SOCKET);
	return fd;
}

int enter_socket_accept(int listener)
{
	struct ucred peer;
	socklen_t size = sizeof peer;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return -1;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == 0)
		return fd;
	close(fd);
	return -1;
}

int enter_socket_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char directory[PATH_BYTES];
	const char *slash = strrchr(path, '/');
	int parent, fd, err;

	if (slash == NULL || (size_t)(slash - path) >= sizeof directory) {
		errno = EINVAL;
		return -1;
	}
	memcpy(directory, path, (size_t)(slash - path));
	directory[slash - path] = 0;
	parent = open(slash == path ? "/" : directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 &&
	    (size_t)snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", parent, slash + 1) < sizeof address.sun_path &&
	    connect(fd, (struct sockaddr *)&address, sizeof address) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0) {
		close(parent);
		return fd;
	}
	err = errno;
	close(parent);
	if (fd >= 0)
		close(fd);
	errno = err;
	return -1;
}
