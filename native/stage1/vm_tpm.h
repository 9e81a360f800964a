#ifndef HOLDFAST_VM_TPM_H
#define HOLDFAST_VM_TPM_H

#include "keeper.h"
#include "vm_process.h"

/*
 * Starts the swtpm of a pod whose plan names one: a process as QEMU is, but of a user of its own, in a root of its own below
 * `scratch`, where `state` is mounted as /state. QEMU gets the other end of its control channel as its next descriptor.
 * `null` and `words` are standard input, and output and error.
 */
void vm_tpm_start(int plan, const char *scratch, int program, int state, int null, int words, struct vm_process *qemu, struct vm *vm);

#endif
