#ifndef HOLDFAST_SHARES_H
#define HOLDFAST_SHARES_H

#include "keeper.h"
#include "vm_process.h"

/*
 * Starts a virtiofsd for each record of the plan file `shares`, which ends with this process and finds the directory, with
 * read-only files where so planned, as a mount of its own below `scratch`. Its socket is <root>/run/holdfast/<tag>.sock, for QEMU's user
 * alone. A virtiofsd sees nothing but the share: it makes itself a root of it.
 */
void shares_start(int plan, const char *scratch, const char *root, int program, const struct vm_user *user, int null, int words,
		  struct vm *vm);

#endif
