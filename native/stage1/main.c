#include "attach.h"
#include "exec.h"
#include "fail.h"
#include "guest.h"
#include "init.h"
#include "janitor.h"
#include "launch.h"
#include "launch_vm.h"
#include "unpack.h"

#include <stdio.h>
#include <string.h>

#define INTERFACE_VERSION 1

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	if (strcmp(mode, "launch") == 0)
		return launch_main(argc - 1, argv + 1);
	if (strcmp(mode, "launch-vm") == 0)
		return launch_vm_main(argc - 1, argv + 1);
	if (strcmp(mode, "init") == 0)
		return init_main(argc - 1, argv + 1);
	if (strcmp(mode, "guest") == 0)
		return guest_main(argc - 1, argv + 1);
	if (strcmp(mode, "probe") == 0)
		return probe_main(argc - 1, argv + 1);
	if (strcmp(mode, "unpack") == 0)
		return unpack_main(argc - 1, argv + 1);
	if (strcmp(mode, "exec") == 0)
		return exec_main(argc - 1, argv + 1);
	if (strcmp(mode, "attach") == 0)
		return attach_main(argc - 1, argv + 1);
	if (strcmp(mode, "network") == 0)
		return janitor_main(argc - 1, argv + 1);
	if (strcmp(mode, "network-undo") == 0)
		return undo_main(argc - 1, argv + 1);
	if (strcmp(mode, "--version") == 0) {
		printf("holdfast-stage1 interface %d\n", INTERFACE_VERSION);
		return 0;
	}
	fprintf(stderr, "usage: holdfast-stage1 launch PLAN LOCK SUPERVISOR STAGE1 TREE... | init | exec PROFILE PID STREAMS | "
			"launch-vm PLAN LOCK QEMU STAGE1 [VIRTIOFSD] DISK... | guest | probe | attach SOCKET APP PROFILE STREAMS | "
			"unpack ROOT | network POD | network-undo POD | --version\n");
	return EXIT_HOLDFAST;
}
