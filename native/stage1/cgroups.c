#include "cgroups.h"

#include "fail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

static void make_with_parents(const char *directory)
{
	char path[PATH_BYTES];
	size_t length = strlen(directory);

	if (directory[0] != '/' || length >= sizeof path)
		fail("cgroup %s is not an absolute path of less than %d bytes", directory, PATH_BYTES);
	if (mkdir(directory, 0755) == 0 || errno == EEXIST)
		return;
	memcpy(path, directory, length + 1);
	for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			fail_errno("cgroup %s", path);
		*slash = '/';
	}
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		fail_errno("cgroup %s", path);
}

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t length = strlen(text);

	if (fd < 0)
		fail_errno("%s", path);
	if (write(fd, text, length) != (ssize_t)length)
		fail_errno("writing \"%s\" to %s", text, path);
	close(fd);
}

void cgroups_make(struct plan_list directories)
{
	for (size_t i = 0; i < directories.count; i++)
		make_with_parents(directories.item[i]);
}

void cgroups_set(struct plan_list settings)
{
	if (settings.count % 2 != 0)
		fail("cgroup settings: %zu items are no pairs", settings.count);
	for (size_t i = 0; i < settings.count; i += 2)
		write_text(settings.item[i], settings.item[i + 1]);
}

void cgroups_join(struct plan_list files)
{
	for (size_t i = 0; i < files.count; i++)
		write_text(files.item[i], "0");
}

void cgroups_attach_device_policy(const char *directory, struct plan_bytes program)
{
	union bpf_attr load, attach;
	int cgroup, fd;

	if (program.size == 0 || program.size % sizeof(struct bpf_insn) != 0)
		fail("device policy: %zu bytes are no BPF program", program.size);
	memset(&load, 0, sizeof load);
	load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	load.expected_attach_type = BPF_CGROUP_DEVICE;
	load.insns = (uintptr_t)program.data;
	load.insn_cnt = program.size / sizeof(struct bpf_insn);
	load.license = (uintptr_t) "Apache-2.0";
	fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
	if (fd < 0)
		fail_errno("loading the device policy");
	cgroup = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup < 0)
		fail_errno("%s", directory);
	memset(&attach, 0, sizeof attach);
	attach.target_fd = (unsigned)cgroup;
	attach.attach_bpf_fd = (unsigned)fd;
	attach.attach_type = BPF_CGROUP_DEVICE;
	attach.attach_flags = BPF_F_ALLOW_MULTI;
	if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach) < 0)
		fail_errno("attaching the device policy to %s", directory);
	close(cgroup);
	close(fd);
}
