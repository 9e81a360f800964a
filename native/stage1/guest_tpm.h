#ifndef HOLDFAST_GUEST_TPM_H
#define HOLDFAST_GUEST_TPM_H

/*
 * Where the plan says that the guest has a TPM: tells it of the guest's archive, before anything runs that the archive names,
 * and makes /dev/tpmrm0 for apps. stage1/flavours/kvm/README.md has the formula. `devices` is a devtmpfs.
 */
void guest_tpm_begin(int plan, const char *devices);

#endif
