#ifndef HOLDFAST_RUN_H
#define HOLDFAST_RUN_H

/*
 * `holdfast run ARGUMENTS` by the stage0 server: becomes the pod, or ends with the status that the server says. Returns
 * when Node has to be started for it: there is no server, it is of another installation, or it says so. Nothing was
 * measured by then.
 */
void run_by_server(int argc, char **argv);

#endif
