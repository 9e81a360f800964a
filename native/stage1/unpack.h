/* holdfast-stage1 unpack: see unpack.c. */
#ifndef HOLDFAST_UNPACK_H
#define HOLDFAST_UNPACK_H

/* argv: ROOT. Returns 0 when the whole stream was applied, 254 with one line on standard error otherwise. */
int unpack_main(int argc, char **argv);

#endif
