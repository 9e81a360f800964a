#include "inherited.h"

#include "fail.h"
#include "plan.h"

#include <fcntl.h>
#include <limits.h>

int inherited(const char *text, const char *what)
{
	int fd = (int)plan_number(text, INT_MAX, what);

	if (fcntl(fd, F_GETFD) < 0)
		fail_errno("%s: descriptor %d", what, fd);
	return fd;
}
