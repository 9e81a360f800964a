#ifndef HOLDFAST_LAUNCH_H
#define HOLDFAST_LAUNCH_H

/*
 * launch PLAN LOCK SUPERVISOR STAGE1 TREE...
 *
 * Run by stage0 through execve, as root and with one thread. PLAN is <pod>/plan; the others are decimal numbers of
 * inherited descriptors: the pod directory's lock, the supervisor's program, the stage1's EROFS file and one EROFS file
 * for each app in the order of PLAN/apps.list. What stage0 verified is what these descriptors show, whatever their
 * names point to by now.
 *
 * Does not return: becomes the supervisor, or says what failed and ends with 254.
 */
int launch_main(int argc, char **argv);

#endif
