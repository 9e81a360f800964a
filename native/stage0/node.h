#ifndef HOLDFAST_NODE_H
#define HOLDFAST_NODE_H

/* Becomes `node holdfast.js ARGUMENTS`. The node is $HOLDFAST_NODE, or the first one in $PATH. */
void start_node(int argc, char **argv) __attribute__((noreturn));

#endif
