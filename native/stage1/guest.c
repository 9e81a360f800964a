#include "guest.h"

#include "app_cgroups.h"
#include "cgroups.h"
#include "fail.h"
#include "guest_apps.h"
#include "guest_devices.h"
#include "guest_root.h"
#include "guest_tpm.h"
#include "interfaces.h"
#include "outlet_frames.h"
#include "plan.h"
#include "pod.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_POLICY_BYTES = 1 << 16, OPEN_FILES = 1024, MAX_OPEN_FILES = 524288 };

/* PID 1 has nowhere to go back to: where even this fails its end is the kernel's. */
static void power_off(void)
{
	reboot(RB_POWER_OFF);
}

static void last_words(const char *line, size_t size)
{
	outlet_frames_fail(line, size);
	power_off();
}

static void begin(const char *name)
{
	fail_as(name, EXIT_HOLDFAST);
	if (getpid() != 1)
		fail("this mode is for PID 1 of a virtual machine");
	fail_through(last_words);
	umask(022);
}

/* The kernel's own limits are older than what programs expect. */
static void set_limits(void)
{
	struct rlimit files = {.rlim_cur = OPEN_FILES, .rlim_max = MAX_OPEN_FILES};

	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		fail_errno("limit of open files");
}

static void set_up_cgroups(int plan, struct plan_list apps)
{
	cgroups_make(plan_read_list(plan, "cgroups"));
	cgroups_set(plan_read_list(plan, "cgroup-settings"));
	for (size_t i = 0; i < apps.count; i++)
		app_cgroups_bind(plan, apps.item[i], "/s1/cgroups");
	for (struct plan_list at = plan_read_list(plan, "device-policy-cgroup"); at.count > 0; at.count--)
		cgroups_attach_device_policy(at.item[at.count - 1], plan_read_bytes(plan, "device-policy", MAX_POLICY_BYTES));
	cgroups_join(plan_read_list(plan, "cgroups.join"));
}

static void set_hostname(int plan)
{
	const char *name = plan_read_text(plan, "hostname");

	if (sethostname(name, strlen(name)) < 0)
		fail_errno("hostname %s", name);
}

/* Returns the apps. */
static struct plan_list set_up(void)
{
	struct plan_list apps;
	int plan;

	guest_root_begin();
	devices_load_modules();
	guest_root_switch();
	guest_root_make_devices();
	outlet_frames_connect(GUEST_DEVICES);
	set_limits();
	plan = open("/s1/plan", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (plan < 0)
		fail_errno("/s1/plan");
	apps = plan_read_apps(plan, "apps.list");
	guest_tpm_begin(plan, GUEST_DEVICES);
	set_hostname(plan);
	interfaces_set_up(plan);
	guest_apps_mount(plan, apps, GUEST_DEVICES);
	set_up_cgroups(plan, apps);
	if (umount2(GUEST_DEVICES, MNT_DETACH | UMOUNT_NOFOLLOW) < 0) /* what is open stays */
		fail_errno("unmounting " GUEST_DEVICES);
	close(plan);
	return apps;
}

/* Whatever is left: programs that were entered, and what an app without a control group of its own started. */
static void end_all(void)
{
	if (kill(-1, SIGKILL) < 0 && errno != ESRCH)
		warn_errno("ending all processes");
	while (wait(NULL) > 0 || errno == EINTR)
		;
}

int guest_main(int argc, char **argv)
{
	struct plan_list apps;
	int status;

	(void)argc;
	(void)argv;
	begin("guest");
	apps = set_up();
	status = pod_run(&outlet_frames);
	end_all();
	guest_apps_unmount(apps);
	outlet_frames_finish(status);
	power_off();
	fail_errno("powering off");
}

int probe_main(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	begin("probe");
	power_off();
	fail_errno("powering off");
}
