#include "../stage1/fail.h"
#include "installation.h"
#include "node.h"
#include "run.h"

#include <string.h>

/* The holdfast command. Node does the work; `run` is first tried without waiting for it to start. */
int main(int argc, char **argv)
{
	fail_as(argc > 1 ? argv[1] : "", EXIT_HOLDFAST);
	installation_find();
	if (argc > 1 && strcmp(argv[1], "run") == 0)
		run_by_server(argc - 2, argv + 2);
	start_node(argc, argv);
}
