#include "identity.h"

#include "fail.h"
#include "plan.h"
#include "rooted.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_ID 0xfffffffeUL

static int is_number(const char *text)
{
	return *text != 0 && strspn(text, "0123456789") == strlen(text);
}

/* The image made this file: it may be absent, and anything but a regular file (a FIFO would block) counts as absent. */
static FILE *open_database(const char *path)
{
	int fd = rooted_open(path, O_RDONLY | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return NULL;
	}
	return fdopen(fd, "r");
}

/* fgetpwent reads this file alone; getpwnam of a static glibc would load name services out of the image. */
static const struct passwd *find_user(const char *user)
{
	FILE *file = open_database("/etc/passwd");
	struct passwd *entry = NULL;

	if (file == NULL)
		return NULL;
	while ((entry = fgetpwent(file)) != NULL)
		if (is_number(user) ? entry->pw_uid == plan_number(user, MAX_ID, "user") : strcmp(entry->pw_name, user) == 0)
			break;
	fclose(file);
	return entry; /* in libc's own memory */
}

static struct stat owner_of(const char *path)
{
	int fd = rooted_open(path, O_PATH);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		fail_errno("owner of %s", path);
	close(fd);
	return st;
}

static gid_t find_group(const char *group)
{
	FILE *file;
	const struct group *entry;

	if (*group == '/')
		return owner_of(group).st_gid;
	if (is_number(group))
		return (gid_t)plan_number(group, MAX_ID, "group");
	file = open_database("/etc/group");
	while (file != NULL && (entry = fgetgrent(file)) != NULL)
		if (strcmp(entry->gr_name, group) == 0)
			return entry->gr_gid;
	fail("group %s is not in the image's /etc/group", group);
}

static void add_group(const char *user, gid_t gid, struct identity *id)
{
	for (size_t i = 0; i < id->group_count; i++)
		if (id->groups[i] == gid)
			return;
	if (id->group_count == IDENTITY_MAX_GROUPS)
		fail("user %s is in more than %d groups", user, IDENTITY_MAX_GROUPS);
	id->groups[id->group_count++] = gid;
}

static void find_supplementary_groups(const char *user, struct identity *id)
{
	FILE *file = open_database("/etc/group");
	const struct group *entry;

	while (file != NULL && (entry = fgetgrent(file)) != NULL)
		for (char **member = entry->gr_mem; *member != NULL; member++) {
			if (strcmp(*member, user) != 0 || entry->gr_gid == id->gid)
				continue;
			add_group(user, entry->gr_gid, id);
			break;
		}
}

void identity_resolve(const char *user, const char *group, struct plan_list more, struct identity *id)
{
	int by_owner = *user == '/';
	const struct passwd *entry = by_owner ? NULL : find_user(user);
	char name[256] = "";

	if (entry == NULL && !by_owner && !is_number(user))
		fail("user %s is not in the image's /etc/passwd", user);
	if (by_owner)
		id->uid = owner_of(user).st_uid;
	else
		id->uid = entry != NULL ? entry->pw_uid : (uid_t)plan_number(user, MAX_ID, "user");
	id->gid = entry != NULL ? entry->pw_gid : 0;
	id->group_count = 0;
	if (entry != NULL)
		snprintf(name, sizeof name, "%s", entry->pw_name);
	if (*group != 0)
		id->gid = find_group(group);
	if (*name != 0)
		find_supplementary_groups(name, id);
	for (size_t i = 0; i < more.count; i++)
		add_group(user, (gid_t)plan_number(more.item[i], MAX_ID, "supplementary group"), id);
	/* -1 would leave this process the root user or group that it is */
	if (id->uid > MAX_ID || id->gid > MAX_ID)
		fail("user %s: %u:%u is no user and group", user, id->uid, id->gid);
}
