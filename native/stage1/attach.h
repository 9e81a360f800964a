#ifndef HOLDFAST_ATTACH_H
#define HOLDFAST_ATTACH_H

/*
 * attach SOCKET APP PROFILE STREAMS
 *
 * Run by stage0 through execve, as root: runs a program in an app of a pod that is a virtual machine. SOCKET is <pod>/enter.sock, APP the
 * app's position in apps.list, PROFILE and STREAMS are those of mode exec (README.md). The guest carries the profile out. Ends with the program's
 * status, or 254.
 */
int attach_main(int argc, char **argv);

#endif
