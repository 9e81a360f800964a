#include "terminal.h"

#include "fail.h"
#include "rooted.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

void terminal_open(int root, struct terminal *t)
{
	struct statfs fs;
	int unlocked = 0, ptmx;

	/* looked at before it is opened: what the app put there could block, or be a device with other effects */
	ptmx = rooted_open_in(root, "/dev/pts/ptmx", O_PATH | O_NOFOLLOW);
	if (ptmx < 0 || fstatfs(ptmx, &fs) < 0)
		fail_errno("/dev/pts/ptmx");
	if (fs.f_type != DEVPTS_SUPER_MAGIC)
		fail("/dev/pts/ptmx is not the kernel's");
	close(ptmx);
	t->master = rooted_open_in(root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK);
	if (t->master < 0 || fstatfs(t->master, &fs) < 0 || fs.f_type != DEVPTS_SUPER_MAGIC)
		fail_errno("opening /dev/pts/ptmx");
	if (ioctl(t->master, TIOCSPTLCK, &unlocked) < 0)
		fail_errno("unlocking the terminal");
	/* not by its name, behind which something else could be */
	t->slave = ioctl(t->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (t->slave < 0)
		fail_errno("the terminal's other end");
}
