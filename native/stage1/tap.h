#ifndef HOLDFAST_TAP_H
#define HOLDFAST_TAP_H

#include <stddef.h>

/*
 * Makes a tap in the network namespace of this process and joins it with `interface`: what comes in on one goes out on the
 * other, before anything of this kernel's own network sees it, so that nothing here answers for the guest (ARP, ICMP). The
 * interface gets the address that the guest has, `mac`, where it has another one, so that a driver that delivers by it
 * (macvlan) delivers to the guest; its addresses of IP are left. `position` makes the tap's name. Returns the tap's descriptor,
 * with FD_CLOEXEC; the tap is gone with the last copy of it.
 */
int tap_open(const char *interface, const char *mac, size_t position);

#endif
