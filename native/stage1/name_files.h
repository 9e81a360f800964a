#ifndef HOLDFAST_NAME_FILES_H
#define HOLDFAST_NAME_FILES_H

#include "users.h"

/*
 * Puts the plan's resolv.conf and hosts into /etc of an app's root. An empty plan file leaves what the image has. Links
 * of the image are followed inside `root` only; a link at the file's own place is replaced, not followed. They
 * belong to root of the pod.
 */
void name_files_install(int plan, const char *root, const struct users *users);

#endif
