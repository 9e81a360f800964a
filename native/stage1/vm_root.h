#ifndef HOLDFAST_VM_ROOT_H
#define HOLDFAST_VM_ROOT_H

#include "plan.h"

/*
 * Makes the root that QEMU is to have below the existing directory `root`, and makes it a mount of its own:
 * stage1/flavours/kvm/README.md says what is in it. `stage1` is where the stage1 image is mounted, `plan` the directory with pod.cpio and
 * addresses.cpio. Names are relative to the working directory.
 */
void vm_root_make(const char *root, const char *stage1, int plan, struct plan_list devices);

/* The same with what any program of the host needs, and nothing else. `root` exists. */
void vm_root_make_programs(const char *root);

/* Nothing in it changes from now on; sockets can still be connected to. */
void vm_root_close(const char *root);

#endif
