#ifndef HOLDFAST_PLAN_COPY_H
#define HOLDFAST_PLAN_COPY_H

/*
 * Copies the plan into the new directory `target`, which lies where only this pod sees it, and closes `plan`. Returns the
 * copy, open: apps are started again by what was planned, whatever becomes of the pod directory meanwhile.
 */
int plan_copy(int plan, const char *target);

#endif
