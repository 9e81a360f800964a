#ifndef HOLDFAST_APP_CGROUPS_H
#define HOLDFAST_APP_CGROUPS_H

/*
 * Makes the control groups of an app as the plan's apps/<name> says, and binds the files by which they are joined to
 * <directory>/<name>/0, 1 and so on, and the one that counts OOM kills to <directory>/<name>/oom: init and its children
 * find them there whatever becomes of /sys.
 */
void app_cgroups_bind(int plan, const char *name, const char *directory);

#endif
