#ifndef HOLDFAST_INIT_H
#define HOLDFAST_INIT_H

/*
 * PID 1 of the pod. Descriptor 3 is the pod's lock, 4 the read end of a pipe whose other end only the supervisor holds.
 * Runs the apps of /s1/plan/apps.list (pod.h), writes /s1/status and /s1/log, and ends with the status of the app that
 * failed first, or 0.
 *
 * SIGTERM, SIGINT, the supervisor's death and an app that fails all stop the pod: SIGTERM to every app, SIGKILL after
 * /s1/plan/stop-timeout-ms, and as long for each post-stop handler.
 */
int init_main(int argc, char **argv);

#endif
