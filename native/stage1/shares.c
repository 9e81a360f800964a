#include "shares.h"

#include "fail.h"
#include "mount_tree.h"
#include "plan.h"
#include "profile.h"
#include "volumes.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum { TAG, SOURCE, ACCESS, FIELDS };
enum { FD_SOCKET = 3, PATH_BYTES = 128 };

/* The source is what the path names now, without a link in it, as it was when it was measured. */
static void mount_source(const char *tag, const char *source, int read_only, const char *target)
{
	int fd = volumes_open_host(tag, source), tree, at;
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode))
		fail("share %s: %s is no directory", tag, source);
	if (mkdir(target, 0755) < 0)
		fail_errno("mkdir %s", target);
	at = open(target, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	tree = tree_clone(fd, 1);
	if (at < 0 || tree < 0 ||
	    tree_set(tree, TREE_NOSUID | TREE_NODEV | TREE_PRIVATE | TREE_RECURSIVE | (read_only ? TREE_READ_ONLY : 0)) < 0 ||
	    tree_attach(tree, at) < 0)
		fail_errno("mounting the share %s", tag);
	close(at);
	close(tree);
	close(fd);
}

static int listen_at(const char *root, const char *tag, const struct vm_user *user)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if ((size_t)snprintf(address.sun_path, sizeof address.sun_path, "%s/run/holdfast/%s.sock", root, tag) >= sizeof address.sun_path)
		fail("share %s: its name is too long", tag);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || chmod(address.sun_path, 0600) < 0 ||
	    chown(address.sun_path, user->uid, user->gid) < 0 || listen(fd, 1) < 0)
		fail_errno("%s", address.sun_path);
	return fd;
}

/* Absolute, as virtiofsd leaves its working directory. A comma would end the option, but for a backslash before it. */
static void source_option(const char *source, char *option, size_t size)
{
	char directory[PATH_MAX];
	size_t at = (size_t)snprintf(option, size, "source=");

	if (getcwd(directory, sizeof directory) == NULL)
		fail_errno("the pod's directory");
	for (const char *c = directory; *c != 0 && at + 2 < size; c++) {
		if (*c == ',' || *c == '\\')
			option[at++] = '\\';
		option[at++] = *c;
	}
	if (at + (size_t)snprintf(option + at, size - at, "/%s", source) >= size)
		fail("%s: too long", directory);
}

static void __attribute__((noreturn)) become_virtiofsd(int program, int socket_fd, const char *name, const char *source, int null,
							 int words)
{
	char option[2 * PATH_MAX];
	char *argv[] = {(char *)name, "--fd=3", "-f", "-o", option, NULL}, *environment[] = {NULL};

	vm_process_end_with_parent();
	source_option(source, option, sizeof option);
	program = fcntl(program, F_DUPFD_CLOEXEC, FD_SOCKET + 1);
	socket_fd = fcntl(socket_fd, F_DUPFD_CLOEXEC, FD_SOCKET + 1);
	if (program < 0 || socket_fd < 0 || dup2(null, 0) < 0 || dup2(words, 1) < 0 || dup2(words, 2) < 0 ||
	    dup2(socket_fd, FD_SOCKET) < 0 || syscall(SYS_close_range, FD_SOCKET + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		fail_errno("descriptors of virtiofsd");
	reset_signals();
	syscall(SYS_execveat, program, "", argv, environment, AT_EMPTY_PATH);
	fail_errno("executing %s", name);
}

void shares_start(int plan, const char *scratch, const char *root, int program, const struct vm_user *user, int null, int words,
		  struct vm *vm)
{
	struct plan_list shares = plan_read_records(plan, "shares", FIELDS);

	if (shares.count / FIELDS > PLAN_MAX_VOLUMES)
		fail("%zu shares, at most %d are taken", shares.count / FIELDS, PLAN_MAX_VOLUMES);
	if (shares.count > 0 && program < 0)
		fail("there are shares and no virtiofsd");
	for (size_t i = 0; i < shares.count / FIELDS; i++) {
		char *const *share = shares.item + i * FIELDS;
		int read_only = plan_choice(share[ACCESS], "rw", "ro", "access to share"), fd;
		char source[PATH_BYTES];
		pid_t pid;

		if (share[TAG][0] == 0 || strspn(share[TAG], "abcdefghijklmnopqrstuvwxyz0123456789") != strlen(share[TAG]))
			fail("share %zu has a tag that is none", i);
		snprintf(source, sizeof source, "%s/share-%zu", scratch, i);
		mount_source(share[TAG], share[SOURCE], read_only, source);
		fd = listen_at(root, share[TAG], user);
		/* a PID namespace, so that what it forks ends with it */
		pid = (pid_t)vm_process_fork(CLONE_NEWPID);
		if (pid == 0)
			become_virtiofsd(program, fd, plan_read_text(plan, "virtiofsd"), source, null, words);
		close(fd);
		vm->shares[vm->share_count++] = pid;
	}
}
