#ifndef HOLDFAST_GUEST_DEVICES_H
#define HOLDFAST_GUEST_DEVICES_H

#include <stddef.h>

enum { DEVICE_NUMBER_BYTES = 32 };

/* Loads the modules of /modules in the order that /modules/order says. */
void devices_load_modules(void);

/*
 * Opens the virtio-serial port of this name for reading and writing, nonblocking, when the host has connected to it.
 * `devices` is where a devtmpfs is mounted. Ports appear a moment after their driver was loaded.
 */
int devices_open_port(const char *devices, const char *name);

/* Writes "major:minor" of the disk with this serial to `number`. Disks are there when their driver is loaded. */
void devices_find_disk(const char *serial, char number[DEVICE_NUMBER_BYTES]);

#endif
