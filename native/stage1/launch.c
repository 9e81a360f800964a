#include "launch.h"

#include "app_cgroups.h"
#include "cgroups.h"
#include "fail.h"
#include "inherited.h"
#include "mounts.h"
#include "name_files.h"
#include "network.h"
#include "plan.h"
#include "plan_copy.h"
#include "profile.h"
#include "users.h"
#include "volumes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Descriptors as the supervisor finds them; it hands the first two to PID 1 (LISTEN_FDS) and keeps the third for
 * itself.
 */
enum { FD_LOCK = 3, FD_LIVENESS_READ = 4, FD_LIVENESS_WRITE = 5, FD_FIRST_FREE = 6 };

/* Where stage0 sees nothing of it: all below <pod>/stage1 is on a tmpfs of the pod's own mount namespace. */
#define SCRATCH "stage1"
#define ROOT SCRATCH "/root"
#define PLAN SCRATCH "/plan"

static void make_directory(const char *path)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		fail_errno("mkdir %s", path);
}

/*
 * systemd-nspawn removes what it put below /run/systemd/nspawn only on tmpfs and never when it is killed. On a tmpfs of
 * the pod's own nothing is left behind either way.
 */
static void hide_supervisor_runtime(void)
{
	make_directory("/run");
	make_directory("/run/systemd");
	mount_tmpfs("/run/systemd/nspawn", "4m");
}

static void mount_stage1(int tree, const struct users *users)
{
	make_directory(SCRATCH "/lower");
	make_directory(SCRATCH "/upper");
	make_directory(SCRATCH "/work");
	make_directory(ROOT);
	users_give(users, SCRATCH "/upper");
	mount_erofs(tree, SCRATCH "/lower");
	users_shift(users, SCRATCH "/lower");
	mount_overlay(SCRATCH "/lower", SCRATCH "/upper", SCRATCH "/work", ROOT);
	make_directory(ROOT "/apps");
	make_directory(ROOT "/s1");
	make_directory(ROOT "/s1/plan");
	make_directory(ROOT "/s1/status");
	make_directory(ROOT "/s1/log");
	make_directory(ROOT "/s1/cgroups");
	make_directory(ROOT "/s1/volumes");
	mount_bind(PLAN, ROOT "/s1/plan", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC);
	mount_bind("status", ROOT "/s1/status", MS_NOSUID | MS_NODEV | MS_NOEXEC);
	mount_bind("log", ROOT "/s1/log", MS_NOSUID | MS_NODEV | MS_NOEXEC);
	users_shift(users, ROOT "/s1/plan");
	users_shift(users, ROOT "/s1/status");
	users_shift(users, ROOT "/s1/log");
}

/*
 * No nosuid here: set-user-ID programs of the image work within the app's bounding set, unless no-new-privileges is
 * planned.
 */
static void mount_app(int plan, const char *name, size_t position, int tree, const struct users *users)
{
	char lower[64], upper[256], work[256], target[256];

	snprintf(lower, sizeof lower, SCRATCH "/app-%zu", position);
	snprintf(upper, sizeof upper, "apps/%s/upper", name);
	snprintf(work, sizeof work, "apps/%s/work", name);
	snprintf(target, sizeof target, ROOT "/apps/%s", name);
	make_directory(lower);
	make_directory(target);
	mount_erofs(tree, lower);
	users_shift(users, lower);
	users_give(users, upper);
	mount_overlay(lower, upper, work, target);
	name_files_install(plan, target, users);
}

/* The lowest copy of `fd` that is above all fixed numbers, so that moving one does not overwrite another. */
static int out_of_the_way(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, FD_FIRST_FREE);

	if (copy < 0)
		fail_errno("copying descriptor %d", fd);
	return copy;
}

static void move_to(int fd, int number)
{
	if (dup2(fd, number) < 0) /* the copy has no FD_CLOEXEC */
		fail_errno("descriptor %d", number);
}

/* LISTEN_PID must be this process: execve keeps the pid. */
static char **supervisor_environment(struct plan_list planned)
{
	char **environment = calloc(planned.count + 3, sizeof *environment);
	static char listen_pid[32];

	if (environment == NULL)
		fail("no memory for the supervisor's environment");
	memcpy(environment, planned.item, planned.count * sizeof *environment);
	snprintf(listen_pid, sizeof listen_pid, "LISTEN_PID=%d", (int)getpid());
	environment[planned.count] = listen_pid;
	environment[planned.count + 1] = "LISTEN_FDS=2";
	return environment;
}

static void become_supervisor(int plan, int lock, int program)
{
	struct plan_list argv = plan_read_list(plan, "supervisor");
	char **environment = supervisor_environment(plan_read_list(plan, "supervisor-env"));
	int ends[2];

	if (argv.count == 0)
		fail("plan file supervisor is empty");
	if (pipe2(ends, O_CLOEXEC) < 0)
		fail_errno("liveness pipe");
	lock = out_of_the_way(lock);
	program = out_of_the_way(program);
	ends[0] = out_of_the_way(ends[0]);
	ends[1] = out_of_the_way(ends[1]);
	move_to(lock, FD_LOCK);
	move_to(ends[0], FD_LIVENESS_READ);
	move_to(ends[1], FD_LIVENESS_WRITE);
	/* the program's descriptor is closed by the execve that uses it */
	if (syscall(SYS_close_range, FD_FIRST_FREE, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		fail_errno("close_range");
	syscall(SYS_execveat, program, "", argv.item, environment, AT_EMPTY_PATH);
	fail_errno("executing the supervisor %s", argv.item[0]);
}

int launch_main(int argc, char **argv)
{
	int plan, lock, supervisor, stage1;
	struct plan_list apps;
	struct users users;
	const char *network;

	fail_as("launch", EXIT_HOLDFAST);
	if (argc < 6)
		fail("wanted PLAN LOCK SUPERVISOR STAGE1 TREE..., got %d arguments", argc - 1);
	reset_signals(); /* Node leaves SIGPIPE and SIGXFSZ ignored, and ignored signals survive execve */
	umask(022);
	plan = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (plan < 0)
		fail_errno("%s", argv[1]);
	lock = inherited(argv[2], "pod lock");
	supervisor = inherited(argv[3], "supervisor");
	stage1 = inherited(argv[4], "stage1 tree");
	if (fchdir(plan) < 0 || chdir("..") < 0)
		fail_errno("pod directory");

	network = plan_read_text(plan, "network");
	network_enter(network); /* first: a namespace by its path on the host */
	private_mount_namespace();
	hide_supervisor_runtime();
	mount_tmpfs(SCRATCH, "64m");
	plan = plan_copy(plan, PLAN);
	apps = plan_read_apps(plan, "apps.list");
	if (apps.count != (size_t)argc - 5)
		fail("%zu apps planned, %d trees handed over", apps.count, argc - 5);
	users_read(plan, &users);
	if (users.namespace >= 0 && strcmp(network, "host") != 0)
		network_open_ports();
	mount_stage1(stage1, &users);
	for (size_t i = 0; i < apps.count; i++)
		mount_app(plan, apps.item[i], i, inherited(argv[5 + i], "app tree"), &users);
	volumes_mount(plan, ROOT "/s1/volumes", &users);

	cgroups_make(plan_read_list(plan, "cgroups"));
	cgroups_set(plan_read_list(plan, "cgroup-settings"));
	for (size_t i = 0; i < apps.count; i++)
		app_cgroups_bind(plan, apps.item[i], ROOT "/s1/cgroups");
	for (struct plan_list given = plan_read_list(plan, "cgroups.given"); given.count > 0; given.count--)
		users_give(&users, given.item[given.count - 1]);
	for (struct plan_list at = plan_read_list(plan, "device-policy-cgroup"); at.count > 0; at.count--)
		cgroups_attach_device_policy(at.item[at.count - 1], plan_read_bytes(plan, "device-policy", 1 << 16));
	cgroups_join(plan_read_list(plan, "cgroups.join"));

	become_supervisor(plan, lock, supervisor);
	return EXIT_HOLDFAST;
}
