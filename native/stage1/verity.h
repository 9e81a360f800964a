#ifndef HOLDFAST_VERITY_H
#define HOLDFAST_VERITY_H

#include <stdint.h>

struct verity {
	const char *name;	   /* of the device that is made */
	const char *data, *hashes; /* disks, "major:minor" */
	uint64_t blocks;	   /* of 4096 bytes */
	const char *root_hash;	   /* SHA-256, 64 hexadecimal digits */
};

/*
 * Makes a read-only device that shows the data disk. Each block is checked when it is read; one that is not what the
 * root hash says stops the kernel, so that nothing goes on with what is not known. `devices` is where a devtmpfs is
 * mounted; returns the device's minor number, and it is <devices>/dm-<minor>.
 */
unsigned verity_open(const char *devices, const struct verity *v);

#endif
