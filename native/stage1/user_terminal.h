#ifndef HOLDFAST_USER_TERMINAL_H
#define HOLDFAST_USER_TERMINAL_H

#include <sys/ioctl.h>

/* The terminal of the caller, where standard input is one. */

/* Raw mode until user_terminal_restore(); nothing where standard input is no terminal. */
void user_terminal_raw(void);
void user_terminal_restore(void);

/* Returns 0, or -1 where there is no terminal. */
int user_terminal_size(struct winsize *size);

#endif
