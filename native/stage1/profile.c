#include "profile.h"

#include "execute.h"
#include "fail.h"
#include "identity.h"
#include "mount_tree.h"
#include "rooted.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/magic.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { MAX_CAPABILITY = 63, MAX_LABELS = 8 };

static uint64_t read_capabilities(int plan)
{
	struct plan_list numbers = plan_read_list(plan, "caps");
	uint64_t set = 0;

	for (size_t i = 0; i < numbers.count; i++)
		set |= UINT64_C(1) << plan_number(numbers.item[i], MAX_CAPABILITY, "capability");
	return set;
}

void profile_read(int plan, const char *argv, struct profile *p)
{
	struct plan_list names = plan_read_list(plan, "user");

	if (names.count != 2)
		fail("user: %zu items, wanted user and group", names.count);
	p->user = names.item[0];
	p->group = names.item[1];
	p->argv = plan_read_list(plan, argv);
	if (p->argv.count == 0)
		fail("%s is empty", argv);
	p->env = plan_read_list(plan, "env");
	p->cwd = plan_read_text(plan, "cwd");
	p->groups = plan_read_list(plan, "groups");
	p->capabilities = read_capabilities(plan);
	p->no_new_privileges = (int)plan_read_number(plan, "no-new-privileges", 1);
	p->read_only_root = (int)plan_read_number(plan, "read-only-root", 1);
	p->seccomp = plan_read_bytes(plan, "seccomp", BPF_MAXINSNS * sizeof(struct sock_filter));
	if (p->seccomp.size % sizeof(struct sock_filter) != 0)
		fail("seccomp: %zu bytes are no BPF program", p->seccomp.size);
	p->oom_score_adj = plan_read_list(plan, "oom-score-adj");
	p->security_labels = plan_read_records(plan, "security-labels", 2);
	if (p->security_labels.count > MAX_LABELS)
		fail("security-labels: %zu items, at most %d are taken", p->security_labels.count, MAX_LABELS);
}

/* A volume or an image could have put a file of its own where the kernel's should be, and a label would go nowhere. */
static void write_own(const char *name, const char *text)
{
	char path[256];
	struct statfs fs;
	int fd;

	if (snprintf(path, sizeof path, "/proc/thread-self/%s", name) >= (int)sizeof path)
		fail("%.40s... is too long", name);
	/* its one link names this thread; RESOLVE_NO_MAGICLINKS does not count it as one that leads elsewhere */
	fd = rooted_open(path, O_WRONLY);
	if (fd < 0 || fstatfs(fd, &fs) < 0)
		fail_errno("%s", path);
	if (fs.f_type != PROC_SUPER_MAGIC)
		fail("%s is not the kernel's", path);
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		fail_errno("writing \"%s\" to %s", text, path);
	close(fd);
}

void profile_set_oom_score(const struct profile *p)
{
	if (p->oom_score_adj.count > 0)
		write_own("oom_score_adj", p->oom_score_adj.item[0]);
}

static void enter_working_directory(const char *cwd)
{
	int root, fd;

	if (cwd[0] != '/')
		fail("working directory %s is not an absolute path", cwd);
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		fail_errno("/");
	/* an OCI image may name a working directory that it does not hold; other runtimes make it */
	fd = rooted_make_directory(root, cwd);
	if (fd < 0 || fchdir(fd) < 0)
		fail_errno("working directory %s", cwd);
	close(fd);
	close(root);
}

static void make_root_read_only(void)
{
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root < 0 || tree_set(root, TREE_READ_ONLY) < 0)
		fail_errno("making the root read-only");
	close(root);
}

void profile_limit_bounding_set(uint64_t keep)
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
 * The user with all capabilities that the process has: a user other than root keeps them only until execve, which takes
 * from root, too, what is not in the bounding set.
 */
static void become_user(const struct identity *id)
{
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		fail_errno("keeping capabilities");
	if (setgroups(id->group_count, id->groups) < 0)
		fail_errno("setgroups");
	if (setresgid(id->gid, id->gid, id->gid) < 0)
		fail_errno("setresgid %u", id->gid);
	if (setresuid(id->uid, id->uid, id->uid) < 0)
		fail_errno("setresuid %u", id->uid);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		fail_errno("clearing ambient capabilities");
}

/*
 * What root may hold, which the supervisor's choice limits too, and CAP_SYS_ADMIN, which the kernel asks for where a
 * filter is loaded without no-new-privileges. Nothing is inheritable.
 */
static void set_capabilities(uint64_t wanted)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];
	uint64_t set = (wanted | UINT64_C(1) << CAP_SYS_ADMIN) & permitted_now();

	memset(data, 0, sizeof data);
	data[0].effective = data[0].permitted = (uint32_t)set;
	data[1].effective = data[1].permitted = (uint32_t)(set >> 32);
	if (syscall(SYS_capset, &header, data) < 0)
		fail_errno("capset");
}

static void load_filter(struct plan_bytes bytes)
{
	struct sock_fprog program = {(unsigned short)(bytes.size / sizeof(struct sock_filter)), (void *)bytes.data};

	if (bytes.size == 0) /* stage0 was told to run without */
		return;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		fail_errno("seccomp filter");
}

void reset_signals(void)
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL); /* SIGKILL, SIGSTOP and libc's own refuse, which is as good */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void profile_execute(const struct profile *p)
{
	static struct identity id;

	umask(022);
	identity_resolve(p->user, p->group, p->groups, &id);
	enter_working_directory(p->cwd);
	if (p->read_only_root)
		make_root_read_only();
	profile_set_oom_score(p);
	for (size_t i = 0; i < p->security_labels.count; i += 2)
		write_own(p->security_labels.item[i], p->security_labels.item[i + 1]);

	profile_limit_bounding_set(p->capabilities);
	if (p->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		fail_errno("no-new-privileges");
	if (p->terminal && fchown(STDIN_FILENO, id.uid, (gid_t)-1) < 0)
		fail_errno("owner of the terminal");
	become_user(&id);
	set_capabilities(p->capabilities);
	/* becoming another user takes it back */
	if (p->ends_with_parent && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		fail_errno("parent's death");
	reset_signals();
	load_filter(p->seccomp); /* last, for it may allow little more than what execute() does */
	execute(p->argv, p->env);
}
