#ifndef HOLDFAST_LAUNCH_VM_H
#define HOLDFAST_LAUNCH_VM_H

/*
 * launch-vm PLAN LOCK QEMU STAGE1 [VIRTIOFSD] DISK...
 *
 * Run by stage0 through execve, as root and with one thread. PLAN is <pod>/plan (stage1/flavours/kvm/README.md); the others are decimal
 * numbers of inherited descriptors: the pod directory's lock, QEMU's program, the stage1's EROFS file, virtiofsd's program where and only where
 * PLAN/virtiofsd names one, and the disks in the order of their serials.
 *
 * Starts the virtual machine, stays as its keeper (keeper.h), and ends with the pod's status, or says what failed and
 * ends with 254.
 */
int launch_vm_main(int argc, char **argv);

#endif
