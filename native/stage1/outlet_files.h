#ifndef HOLDFAST_OUTLET_FILES_H
#define HOLDFAST_OUTLET_FILES_H

#include "outlet.h"

/*
 * /s1/status and /s1/log; without logs the apps have the streams of this process. Descriptor 4 is the read end of a pipe
 * whose other end only the supervisor holds: the pod stops when that is gone.
 */
extern const struct outlet outlet_files;

#endif
