#ifndef HOLDFAST_TERMINAL_H
#define HOLDFAST_TERMINAL_H

/* Both ends of a pseudo-terminal, with FD_CLOEXEC. */
struct terminal {
	int master, slave;
};

/* Makes a pseudo-terminal in the /dev/pts below `root`, the root of a process that is not trusted. */
void terminal_open(int root, struct terminal *t);

#endif
