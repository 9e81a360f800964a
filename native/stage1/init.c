#include "init.h"

#include "fail.h"
#include "outlet_files.h"
#include "pod.h"

#include <fcntl.h>
#include <unistd.h>

enum { FD_LOCK = 3, FD_LIVENESS = 4 };

/* The lock must not outlive PID 1 in an app, nor must an app see the pipe. */
static void keep_from_apps(int fd, const char *what)
{
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		fail_errno("%s: descriptor %d", what, fd);
}

int init_main(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	fail_as("init", EXIT_HOLDFAST);
	if (getpid() != 1)
		fail("this mode is for PID 1 of a pod");
	keep_from_apps(FD_LOCK, "pod lock");
	keep_from_apps(FD_LIVENESS, "liveness pipe");
	return pod_run(&outlet_files);
}
