#include "vm_tpm.h"

#include "fail.h"
#include "mounts.h"
#include "vm_root.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FD_PATH_BYTES = 64 };

/* A directory that was opened outside this mount namespace cannot be mounted: the one of its name is, which has to be the same. */
static void mount_state(int state, const char *target)
{
	struct stat given, found;
	char source[FD_PATH_BYTES];
	int fd = open("tpm", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &found) < 0 || fstat(state, &given) < 0)
		fail_errno("the pod's tpm");
	if (found.st_dev != given.st_dev || found.st_ino != given.st_ino)
		fail("the pod's tpm is not the one that was measured");
	snprintf(source, sizeof source, "/proc/self/fd/%d", fd);
	mount_bind(source, target, MS_NOSUID | MS_NODEV | MS_NOEXEC);
	close(fd);
}

void vm_tpm_start(int plan, const char *scratch, int program, int state, int null, int words, struct vm_process *qemu, struct vm *vm)
{
	static struct vm_process swtpm;
	char root[PATH_MAX], target[PATH_MAX];
	int ends[2];

	snprintf(root, sizeof root, "%s/tpm-root", scratch);
	snprintf(target, sizeof target, "%s/tpm-root/state", scratch);
	if (mkdir(root, 0755) < 0)
		fail_errno("mkdir %s", root);
	vm_root_make_programs(root);
	if (mkdir(target, 0700) < 0)
		fail_errno("mkdir %s", target);
	mount_state(state, target);
	vm_root_close(root);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		fail_errno("sockets between QEMU and its TPM");
	qemu->fds[qemu->fd_count++] = ends[0];
	swtpm.program = program;
	swtpm.argv = plan_read_list(plan, "tpm");
	swtpm.env = (struct plan_list){.count = 0, .item = (char *[]){NULL}};
	swtpm.user = vm_user_read(plan, "tpm-user");
	swtpm.root = root;
	swtpm.null = null;
	swtpm.words = words;
	swtpm.fds[swtpm.fd_count++] = ends[1];
	vm->tpm = vm_process_start(&swtpm);
	close(ends[1]);
	close(program);
	close(state);
}
