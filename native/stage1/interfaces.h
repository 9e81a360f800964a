#ifndef HOLDFAST_INTERFACES_H
#define HOLDFAST_INTERFACES_H

/*
 * Sets up the network of a virtual machine: loopback, and each interface of the plan file `interfaces` with its name,
 * MTU, addresses and routes. They are told apart by their MAC addresses.
 */
void interfaces_set_up(int plan);

#endif
