#include "verity.h"

#include "fail.h"

#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { BLOCK_BYTES = 4096, SECTORS_PER_BLOCK = BLOCK_BYTES / 512, HASH_DIGITS = 64 };

struct request {
	struct dm_ioctl head;
	struct dm_target_spec target;
	char parameters[512];
};

static void start(struct request *r, const char *name, unsigned flags)
{
	memset(r, 0, sizeof *r);
	r->head.version[0] = DM_VERSION_MAJOR;
	r->head.data_size = sizeof *r;
	r->head.data_start = sizeof r->head;
	r->head.flags = flags;
	snprintf(r->head.name, sizeof r->head.name, "%s", name);
}

static void describe(struct request *r, const struct verity *v)
{
	r->head.target_count = 1;
	r->target.length = v->blocks * SECTORS_PER_BLOCK;
	strcpy(r->target.target_type, "verity");
	/* Linux, Documentation/admin-guide/device-mapper/verity.rst: version, devices, sizes, hashes from block 0 on, no salt */
	snprintf(r->parameters, sizeof r->parameters, "1 %s %s %d %d %llu 0 sha256 %s - 1 panic_on_corruption", v->data, v->hashes,
		 BLOCK_BYTES, BLOCK_BYTES, (unsigned long long)v->blocks, v->root_hash);
}

unsigned verity_open(const char *devices, const struct verity *v)
{
	struct request r;
	char path[128];
	int control;

	if (strlen(v->root_hash) != HASH_DIGITS || strspn(v->root_hash, "0123456789abcdef") != HASH_DIGITS)
		fail("%s: \"%.80s\" is no root hash", v->name, v->root_hash);
	snprintf(path, sizeof path, "%s/mapper/control", devices);
	control = open(path, O_RDWR | O_CLOEXEC);
	if (control < 0)
		fail_errno("%s", path);
	start(&r, v->name, 0);
	if (ioctl(control, DM_DEV_CREATE, &r) < 0)
		fail_errno("making the device %s", v->name);
	start(&r, v->name, DM_READONLY_FLAG);
	describe(&r, v);
	if (ioctl(control, DM_TABLE_LOAD, &r) < 0)
		fail_errno("verity of %s (a disk that is too small?)", v->name);
	start(&r, v->name, DM_READONLY_FLAG);
	if (ioctl(control, DM_DEV_SUSPEND, &r) < 0) /* without DM_SUSPEND_FLAG this resumes it */
		fail_errno("starting %s", v->name);
	close(control);
	return minor(r.head.dev);
}
