#ifndef HOLDFAST_MASKS_H
#define HOLDFAST_MASKS_H

/*
 * Hides and write-protects what the supervisor leaves open below /proc and /sys and no app needs: the plan files
 * `masked-paths` and `read-only-paths`. Apps inherit these mounts. Before any app runs, for an app that is root could
 * put something else in the place of /dev/null.
 */
void masks_apply(void);

#endif
