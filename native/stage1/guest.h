#ifndef HOLDFAST_GUEST_H
#define HOLDFAST_GUEST_H

/*
 * PID 1 of a virtual machine, started by its kernel as /init of an initramfs with /s1/plan (stage1/flavours/kvm/README.md).
 * Sets the machine up, runs the pod as `init` does in the other flavour, and powers off. What goes wrong is told to the
 * keeper by FAILURE, and the machine powers off, too. Does not return.
 */
int guest_main(int argc, char **argv);

/* Powers off at once: the machine that runs this can run pods. */
int probe_main(int argc, char **argv);

#endif
