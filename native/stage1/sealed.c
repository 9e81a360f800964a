#include "sealed.h"

#include "fail.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U /* Linux 6.3 */
#endif

static const int SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

static int new_memory(void)
{
	int fd = (int)syscall(SYS_memfd_create, "holdfast-stage1", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

	if (fd < 0 && errno == EINVAL) /* older kernels know no such flag, and let every memory be executed */
		fd = (int)syscall(SYS_memfd_create, "holdfast-stage1", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		fail_errno("memory for a copy of this program");
	return fd;
}

void sealed_copy_of_self(char **argv)
{
	int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), copy, seals;
	struct stat st;
	off_t done = 0;

	if (self < 0 || fstat(self, &st) < 0)
		fail_errno("this program");
	seals = fcntl(self, F_GET_SEALS);
	if (seals >= 0 && (seals & SEALS) == SEALS) {
		close(self);
		return;
	}
	copy = new_memory();
	while (done < st.st_size)
		if (sendfile(copy, self, &done, (size_t)(st.st_size - done)) <= 0)
			fail_errno("copying this program");
	if (fcntl(copy, F_ADD_SEALS, SEALS) < 0)
		fail_errno("sealing a copy of this program");
	syscall(SYS_execveat, copy, "", argv, environ, AT_EMPTY_PATH);
	fail_errno("executing a copy of this program");
}
