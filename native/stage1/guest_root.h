#ifndef HOLDFAST_GUEST_ROOT_H
#define HOLDFAST_GUEST_ROOT_H

/* The root of PID 1 in a virtual machine. Apps see proc, sys and dev of it. */

/* /proc, /sys with control groups, and a devtmpfs at GUEST_DEVICES that apps never see. For an initramfs. */
#define GUEST_DEVICES "/s1/dev"
void guest_root_begin(void);

/*
 * Moves /s1/plan to a tmpfs that becomes the root: an app's pivot_root(2) asks for a root that is a mount. What the
 * initramfs holds is removed, and its memory is free.
 */
void guest_root_switch(void);

/* /dev as apps have it. */
void guest_root_make_devices(void);

#endif
