#include "app_cgroups.h"

#include "cgroups.h"
#include "fail.h"
#include "mounts.h"
#include "plan.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 256 };

static struct plan_list read_list(int plan, const char *app, const char *name)
{
	char file[PATH_BYTES];

	snprintf(file, sizeof file, "apps/%s/%s", app, name);
	return plan_read_list(plan, file);
}

static void bind_file(const char *source, const char *target, unsigned long flags)
{
	int fd = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		fail_errno("%s", target);
	close(fd);
	mount_bind(source, target, flags);
}

void app_cgroups_bind(int plan, const char *name, const char *directory)
{
	char target[PATH_BYTES];
	struct plan_list joined, events;

	cgroups_make(read_list(plan, name, "cgroups"));
	cgroups_set(read_list(plan, name, "cgroup-settings"));
	snprintf(target, sizeof target, "%s/%s", directory, name);
	if (mkdir(target, 0755) < 0)
		fail_errno("mkdir %s", target);
	joined = read_list(plan, name, "cgroups.join");
	for (size_t i = 0; i < joined.count; i++) {
		snprintf(target, sizeof target, "%s/%s/%zu", directory, name, i);
		bind_file(joined.item[i], target, 0);
	}
	events = read_list(plan, name, "oom-events");
	if (events.count > 1)
		fail("oom-events: %zu items, wanted one at most", events.count);
	snprintf(target, sizeof target, "%s/%s/oom", directory, name);
	if (events.count == 1)
		bind_file(events.item[0], target, MS_RDONLY);
}
