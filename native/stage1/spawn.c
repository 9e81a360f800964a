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

static void set_streams(const struct spawn *what)
{
	if (!what->own_input)
		use(what->null, STDIN_FILENO);
	if (what->streams == STREAMS_LOG) {
		use(log_writer(what->log, 0), STDOUT_FILENO);
		use(log_writer(what->log, 1), STDERR_FILENO);
	}
	if (setsid() < 0)
		fail_errno("setsid");
	/* 1: also where init or a program before this one has it */
	if (what->streams == STREAMS_TERMINAL && what->own_input && ioctl(STDIN_FILENO, TIOCSCTTY, 1) < 0)
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
		set_streams(what);
		app_become(what->app, what->program, ends[1]);
	}
	close(ends[1]);
	*report = ends[0];
	return pid;
}
