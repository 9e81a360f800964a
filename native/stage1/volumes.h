#ifndef HOLDFAST_VOLUMES_H
#define HOLDFAST_VOLUMES_H

#include "users.h"

/*
 * Mounts the volumes of the plan file `volumes` at `directory`/<position>, for init to bring into the apps' roots.
 *
 * Of a host volume every part of the path must be what it seems: a symbolic link in it is an error, so that what is
 * mounted is what was measured by its path and no other place that somebody made it point to. Its mounts are copied as
 * they are now, without set-user-ID programs and devices, and do not follow later changes on the host. An empty volume
 * is a directory in `volumes` of the pod directory, which must be the working directory. Its owner is one of the pod's
 * users; owners of a host volume stay those of the host.
 */
void volumes_mount(int plan, const char *directory, const struct users *users);

/*
 * Opens (O_PATH) the directory, file or socket of the host that an absolute path names without any symbolic link: what is
 * mounted is what was measured. `name` names it in messages.
 */
int volumes_open_host(const char *name, const char *source);

#endif
