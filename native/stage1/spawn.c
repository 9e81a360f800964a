#include "spawn.h"

#include "app.h"
#include "fail.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void use(int fd, int number)
{
	if (dup2(fd, number) < 0)
		fail_errno("standard stream %d", number);
}

static void set_streams(const struct streams *streams)
{
	for (int i = 0; i < 3; i++)
		if (streams->fd[i] >= 0)
			use(streams->fd[i], i);
	if (setsid() < 0)
		fail_errno("setsid");
	/* 1: also where init or a program before this one has it */
	if (streams->terminal && ioctl(STDIN_FILENO, TIOCSCTTY, 1) < 0)
		fail_errno("controlling terminal");
}

pid_t spawn(const struct spawn *what, int *report)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		fail_errno("starting %s", what->app);
	pid = fork();
	if (pid < 0)
		fail_errno("starting %s", what->app);
	if (pid == 0) {
		fail_as("app", EXIT_SETUP);
		fail_report_to(ends[1]);
		set_streams(&what->streams);
		app_become(what->app, what->program, ends[1]);
	}
	close(ends[1]);
	*report = ends[0];
	return pid;
}
