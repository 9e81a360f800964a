#ifndef HOLDFAST_CLOCK_H
#define HOLDFAST_CLOCK_H

#include <stdint.h>

/* Milliseconds that only go forward, for deadlines. */
int64_t monotonic_ms(void);

/* Milliseconds since 1970, as the machine believes. */
int64_t wall_ms(void);

#endif
