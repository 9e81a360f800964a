#include "guest_enter_program.h"

#include "fail.h"
#include "profile.h"
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void close_all(int fds[3])
{
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* Own and the program's end of each stream. */
static int open_pipes(int own[3], int its[3])
{
	for (int i = 0; i < 3; i++)
		own[i] = its[i] = -1;
	for (int i = 0; i < 3; i++) {
		int ends[2];

		if (pipe2(ends, O_CLOEXEC) < 0)
			return -1;
		own[i] = ends[i == STDIN_FILENO];
		its[i] = ends[i != STDIN_FILENO];
		if (fcntl(own[i], F_SETFL, O_NONBLOCK) < 0)
			return -1;
	}
	return 0;
}

static void open_terminal(struct enter_program *p, int its[3], const struct winsize *size)
{
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct terminal t;

	if (root < 0)
		fail_errno("/");
	terminal_open(root, &t);
	close(root);
	if (ioctl(t.master, TIOCSWINSZ, size) < 0)
		warn_errno("size of a terminal");
	p->terminal = p->input = p->output[0] = t.master;
	p->output[1] = -1;
	its[0] = t.slave;
	its[1] = its[2] = -1; /* the same */
}

static void __attribute__((noreturn)) become_exec(const int its[3], const char *profile, pid_t app, int is_terminal)
{
	char pid[16], *argv[] = {"holdfast-stage1", "exec", (char *)profile, pid, is_terminal ? "terminal" : "pass", NULL};
	char *environment[] = {NULL};

	fail_as("enter", EXIT_HOLDFAST);
	snprintf(pid, sizeof pid, "%d", (int)app);
	for (int i = 0; i < 3; i++)
		if (dup2(its[is_terminal ? 0 : i], i) < 0)
			fail_errno("standard stream %d", i);
	if (setsid() < 0 || (is_terminal && ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0))
		fail_errno("session");
	reset_signals();
	execve("/proc/self/exe", argv, environment);
	fail_errno("executing this program");
}

const char *enter_program_start(struct enter_program *p, const char *profile, pid_t app, const struct winsize *size)
{
	int own[3] = {-1, -1, -1}, its[3];
	const char *why = NULL;

	*p = (struct enter_program){.terminal = -1, .input = -1, .output = {-1, -1}};
	if (size != NULL) {
		open_terminal(p, its, size);
		own[0] = p->terminal;
	} else if (open_pipes(own, its) < 0) {
		why = strerror(errno);
	} else {
		p->input = own[0];
		p->output[0] = own[1];
		p->output[1] = own[2];
	}
	p->pid = why == NULL ? fork() : -1;
	if (p->pid == 0)
		become_exec(its, profile, app, size != NULL);
	if (p->pid < 0 && why == NULL)
		why = strerror(errno);
	close_all(its);
	if (why == NULL)
		return NULL;
	close_all(own);
	*p = (struct enter_program){.terminal = -1, .input = -1, .output = {-1, -1}};
	return why;
}
