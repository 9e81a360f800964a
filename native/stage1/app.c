#include "app.h"

#include "fail.h"
#include "identity.h"
#include "plan.h"
#include "read_only.h"
#include "rooted.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, MAX_CAPABILITY = 63 };

struct profile {
	struct plan_list argv, env;
	const char *cwd;
	const char *user, *group;
	uint64_t capabilities;
	int no_new_privileges;
	struct plan_bytes seccomp;
};

static void read_user(int plan, struct profile *p)
{
	struct plan_list names = plan_read_list(plan, "user");

	if (names.count != 2)
		fail("user: %zu items, wanted user and group", names.count);
	p->user = names.item[0];
	p->group = names.item[1];
}

static uint64_t read_capabilities(int plan)
{
	struct plan_list numbers = plan_read_list(plan, "caps");
	uint64_t set = 0;

	for (size_t i = 0; i < numbers.count; i++)
		set |= UINT64_C(1) << plan_number(numbers.item[i], MAX_CAPABILITY, "capability");
	return set;
}

static void read_profile(int plan, struct profile *p)
{
	p->argv = plan_read_list(plan, "argv");
	if (p->argv.count == 0)
		fail("argv is empty");
	p->env = plan_read_list(plan, "env");
	p->cwd = plan_read_text(plan, "cwd");
	read_user(plan, p);
	p->capabilities = read_capabilities(plan);
	p->no_new_privileges = (int)plan_read_number(plan, "no-new-privileges", 1);
	p->seccomp = plan_read_bytes(plan, "seccomp", BPF_MAXINSNS * sizeof(struct sock_filter));
	if (p->seccomp.size % sizeof(struct sock_filter) != 0)
		fail("seccomp: %zu bytes are no BPF program", p->seccomp.size);
}

/* One file for each cgroup of the app: the launcher bound the tasks or cgroup.procs of the host here. */
static void join_cgroups(const char *name)
{
	for (int i = 0;; i++) {
		char path[PATH_BYTES];
		int fd;

		snprintf(path, sizeof path, "/s1/cgroups/%s/%d", name, i);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			return;
		if (fd < 0 || write(fd, "0", 1) != 1)
			fail_errno("joining cgroup %d", i);
		close(fd);
	}
}

/* The supervisor leaves the pod's own cgroups writable, and an app that is root could leave those that limit it. */
static void make_read_only(int root, const char *name)
{
	int mounted = openat(root, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (mounted < 0 || mounts_read_only(mounted) < 0)
		fail_errno("making /%s read-only", name);
	close(mounted);
}

/*
 * The image decides what lies at `name`, so it must be a real directory: a link could point at another app or at init's
 * files.
 */
static void bring_in(int root, const char *name)
{
	char source[16], target[32];
	int fd;

	if (mkdirat(root, name, 0755) < 0 && errno != EEXIST)
		fail_errno("mkdir /%s", name);
	fd = openat(root, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		fail_errno("/%s of the image is no directory to mount on", name);
	snprintf(source, sizeof source, "/%s", name);
	snprintf(target, sizeof target, "/proc/self/fd/%d", fd);
	if (mount(source, target, NULL, MS_BIND | MS_REC, NULL) < 0)
		fail_errno("mounting /%s", name);
	close(fd);
}

static void enter_root(const char *name)
{
	char path[PATH_BYTES];
	int root;

	if (unshare(CLONE_NEWNS) < 0)
		fail_errno("mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		fail_errno("making / a slave mount");
	snprintf(path, sizeof path, "/apps/%s", name);
	root = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (root < 0)
		fail_errno("%s", path);
	bring_in(root, "proc");
	bring_in(root, "sys");
	make_read_only(root, "sys");
	bring_in(root, "dev");
	if (fchdir(root) < 0)
		fail_errno("chdir %s", path);
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		fail_errno("pivot_root");
	if (umount2(".", MNT_DETACH) < 0)
		fail_errno("detaching the old root");
	if (chdir("/") < 0)
		fail_errno("chdir /");
}

static int open_directory(const char *path)
{
	return rooted_open(path, O_PATH | O_DIRECTORY);
}

/*
 * An OCI image may name a working directory that it does not hold; other runtimes make it. Each step goes by
 * rooted_open: through a link of /proc the app would begin outside of its root.
 */
static int make_directories(const char *cwd)
{
	char path[PATH_BYTES];
	int at = open_directory("/");

	strcpy(path, cwd);
	for (char *name = path; at >= 0 && *name != 0;) {
		size_t length = strcspn(name, "/");
		char *end = name + length, after = *end;

		*end = 0;
		if (length > 0) {
			int parent = at;

			at = open_directory(path);
			if (at < 0 && errno == ENOENT && (mkdirat(parent, name, 0755) == 0 || errno == EEXIST))
				at = open_directory(path);
			close(parent);
		}
		*end = after;
		name = end + (after == '/');
	}
	return at;
}

static void enter_working_directory(const char *cwd)
{
	int fd;

	if (cwd[0] != '/' || strlen(cwd) >= PATH_BYTES)
		fail("working directory %s is not an absolute path of less than %d bytes", cwd, PATH_BYTES);
	fd = make_directories(cwd);
	if (fd < 0 || fchdir(fd) < 0)
		fail_errno("working directory %s", cwd);
	close(fd);
}

static void limit_bounding_set(uint64_t keep)
{
	for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++) {
		if (capability <= MAX_CAPABILITY && (keep >> capability & 1) != 0)
			continue;
		if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
			fail_errno("dropping capability %d", capability);
	}
}

static uint64_t permitted_now(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data) < 0)
		fail_errno("capget");
	return data[0].permitted | (uint64_t)data[1].permitted << 32;
}

/*
 * A user other than root holds nothing to begin with; what root may hold is also limited by what the supervisor left.
 */
static void set_capabilities(uint64_t wanted)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];
	uint64_t set = wanted & permitted_now();

	memset(data, 0, sizeof data);
	data[0].effective = data[0].permitted = (uint32_t)set;
	data[1].effective = data[1].permitted = (uint32_t)(set >> 32);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		fail_errno("clearing ambient capabilities");
	if (syscall(SYS_capset, &header, data) < 0)
		fail_errno("capset");
}

/* Before the user changes: without no-new-privileges the kernel asks for CAP_SYS_ADMIN. */
static void load_filter(struct plan_bytes bytes)
{
	struct sock_fprog program = {(unsigned short)(bytes.size / sizeof(struct sock_filter)), (void *)bytes.data};

	if (bytes.size == 0) /* stage0 was told to run without */
		return;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		fail_errno("seccomp filter");
}

static void become_user(const struct identity *id)
{
	if (setgroups(id->group_count, id->groups) < 0)
		fail_errno("setgroups");
	if (setresgid(id->gid, id->gid, id->gid) < 0)
		fail_errno("setresgid %u", id->gid);
	if (setresuid(id->uid, id->uid, id->uid) < 0)
		fail_errno("setresuid %u", id->uid);
}

static void reset_signals(void)
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL); /* SIGKILL, SIGSTOP and libc's own refuse, which is as good */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void __attribute__((noreturn)) cannot_execute(const char *path, int err)
{
	errno = err;
	if (err == ENOENT && access(path, F_OK) == 0) {
		fail_as("app", EXIT_NOT_EXECUTABLE);
		fail("%s: its interpreter or loader is not in the image", path);
	}
	errno = err;
	fail_as("app", err == ENOENT || err == ENOTDIR ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
	fail_errno("%s", path);
}

static const char *search_path(struct plan_list env)
{
	for (size_t i = 0; i < env.count; i++)
		if (strncmp(env.item[i], "PATH=", 5) == 0)
			return env.item[i] + 5;
	return "";
}

/*
 * A name without '/' is looked for in the app's own PATH, as execvp would; a file that may not be run does not end the
 * search.
 */
static void __attribute__((noreturn)) execute(struct plan_list argv, struct plan_list env)
{
	const char *name = argv.item[0];
	int denied = 0;

	if (strchr(name, '/') != NULL || *name == 0) {
		execve(name, argv.item, env.item);
		cannot_execute(name, errno);
	}
	for (const char *at = search_path(env); *at != 0;) {
		size_t length = strcspn(at, ":");
		char path[PATH_BYTES];

		if (snprintf(path, sizeof path, "%.*s/%s", (int)length, length > 0 ? at : ".", name) < (int)sizeof path) {
			int err;

			execve(path, argv.item, env.item);
			err = errno;
			if (err == EACCES)
				denied = 1;
			else if ((err != ENOENT && err != ENOTDIR) || access(path, F_OK) == 0)
				cannot_execute(path, err);
		}
		at += length + (at[length] == ':');
	}
	cannot_execute(name, denied ? EACCES : ENOENT);
}

void app_become(const char *name)
{
	char path[PATH_BYTES];
	static struct profile p;
	static struct identity id;
	int plan;

	fail_as("app", EXIT_SETUP);
	snprintf(path, sizeof path, "/s1/plan/apps/%s", name);
	plan = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (plan < 0)
		fail_errno("%s", path);
	read_profile(plan, &p);

	join_cgroups(name);
	enter_root(name);
	/* the lock among them is a directory of the host: nothing that the image names may be looked up while they are open */
	if (syscall(SYS_close_range, 3, ~0U, 0) < 0)
		fail_errno("close_range");
	if (setsid() < 0)
		fail_errno("setsid");
	umask(022);
	identity_resolve(p.user, p.group, &id);
	enter_working_directory(p.cwd);

	limit_bounding_set(p.capabilities);
	if (p.no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		fail_errno("no-new-privileges");
	load_filter(p.seccomp);
	become_user(&id);
	set_capabilities(id.uid == 0 ? p.capabilities : 0);
	reset_signals();
	execute(p.argv, p.env);
}
