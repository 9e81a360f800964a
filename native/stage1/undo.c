#include "undo.h"

#include "fail.h"
#include "network.h"
#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SAID_BYTES = 512 };
#define NAMESPACE_VARIABLE "CNI_NETNS="

struct step {
	int must;
	char *program, *input;
	char **environment;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct step read_step(int network, const char *file, const char *namespace)
{
	struct plan_list items = plan_read_list(network, file);
	struct step step;

	if (items.count < 3 || items.item[1][0] != '/')
		fail("%s is no step of an undoing", file);
	step = (struct step){strcmp(items.item[0], "may") != 0, items.item[1], items.item[2], items.item + 3};
	for (char **variable = step.environment; *variable != NULL; variable++)
		if (strncmp(*variable, NAMESPACE_VARIABLE, strlen(NAMESPACE_VARIABLE)) == 0 && !network_is_namespace(namespace))
			*variable = NAMESPACE_VARIABLE;
	return step;
}

/* All of it fits at once, unlike in a pipe that nobody reads yet. */
static int input_of(const char *text)
{
	int fd = memfd_create("input", MFD_CLOEXEC);
	size_t length = strlen(text);

	if (fd < 0 || write(fd, text, length) != (ssize_t)length || lseek(fd, 0, SEEK_SET) < 0)
		fail_errno("input of a step");
	return fd;
}

static void become_program(const struct step *step, int output)
{
	char *argv[] = {step->program, NULL};
	sigset_t none;

	setpgid(0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(input_of(step->input), STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)
		fail_errno("streams of a step");
	execve(step->program, argv, step->environment);
	fail_errno("%s", step->program);
}

/*
 * Keeps the beginning of what is said, one line of it, until the program has closed its end or the deadline is over.
 * Returns 0 for the former.
 */
static int listen_until(int fd, char *said, int64_t deadline)
{
	struct pollfd wait_for = {.fd = fd, .events = POLLIN};
	char part[SAID_BYTES];
	size_t length = 0;

	for (;;) {
		int64_t left = deadline - now_ms();
		ssize_t n;

		if (left <= 0)
			return -1;
		if (poll(&wait_for, 1, (int)left) <= 0)
			continue;
		n = read(fd, part, sizeof part);
		if (n == 0)
			return 0;
		for (ssize_t i = 0; i < n && length < SAID_BYTES - 1; i++)
			said[length++] = (unsigned char)part[i] < ' ' ? ' ' : part[i];
		said[length] = 0;
	}
}

/* Returns 0 when the program ended with 0. */
static int run_step(const struct step *step)
{
	char said[SAID_BYTES] = "";
	int ends[2], status, in_time;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		fail_errno("pipe");
	pid = fork();
	if (pid < 0)
		fail_errno("fork");
	if (pid == 0)
		become_program(step, ends[1]);
	close(ends[1]);
	in_time = listen_until(ends[0], said, now_ms() + UNDO_DEADLINE_MS) == 0;
	close(ends[0]);
	if (!in_time) {
		kill(-pid, SIGKILL);
		kill(pid, SIGKILL); /* where it has not made its group yet */
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			fail_errno("waiting for %s", step->program);
	if (in_time && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	warn("%s could not undo: %s: %s", step->program, in_time ? "it failed" : "it took too long", said);
	return -1;
}

int undo_steps(int network, const char *namespace)
{
	int failed = 0;

	for (int n = UNDO_MAX_STEPS - 1; n >= 0; n--) {
		char file[32];
		struct step step;

		snprintf(file, sizeof file, "undo/%d", n);
		if (faccessat(network, file, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		step = read_step(network, file, namespace);
		if (run_step(&step) < 0 && step.must)
			failed++;
		else if (unlinkat(network, file, 0) < 0)
			fail_errno("removing %s", file);
	}
	return failed;
}
