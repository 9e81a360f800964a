#ifndef HOLDFAST_VM_PROCESS_H
#define HOLDFAST_VM_PROCESS_H

#include "plan.h"

#include <sys/types.h>

struct vm_user {
	uid_t uid;
	gid_t gid;
};

enum { VM_FIRST_FD = 4, VM_MAX_FDS = 256 };

struct vm_process {
	int program;
	struct plan_list argv, env;
	struct vm_user user;
	const char *root; /* a mount; relative to the working directory */
	int null, words;  /* standard input; standard output and error */
	size_t fd_count;
	int fds[VM_MAX_FDS]; /* the first becomes VM_FIRST_FD, and so on */
};

/* A plan file of two numbers, user and group, neither of them root's. */
struct vm_user vm_user_read(int plan, const char *name);

/* fork(2) into new namespaces (CLONE_NEW...). */
pid_t vm_process_fork(unsigned long namespaces);

/* For a child of vm_process_fork(): SIGKILL when its parent ends, or has ended by now. */
void vm_process_end_with_parent(void);

/*
 * Starts QEMU or its TPM: own namespaces of mounts, processes, IPC, names and network, its own root, a user without privileges and with no
 * way to get any, nothing open but what is listed. Returns its PID.
 */
pid_t vm_process_start(const struct vm_process *p);

#endif
