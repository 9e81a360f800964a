#ifndef HOLDFAST_EXEC_H
#define HOLDFAST_EXEC_H

/*
 * exec PROFILE PID STREAMS
 *
 * Run by stage0 through execve, as root and with one thread: runs a program in an app that runs, with all that confines
 * the app (README.md). Ends with the program's status, 128+n for signal n, or 254.
 *
 * The app is not trusted. It never sees this process, which stays outside of its namespaces and control groups; the
 * program of this process is a sealed copy in memory, so that what the app executes under the name /proc/self/exe is
 * not a file of the host that it could write to; and PID counts only while it stands in the app's own control group.
 */
int exec_main(int argc, char **argv);

#endif
