#include "node.h"

#include "../stage1/fail.h"
#include "installation.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void start_node(int argc, char **argv)
{
	const char *chosen = getenv("HOLDFAST_NODE");
	const char *node = chosen != NULL && chosen[0] != '\0' ? chosen : "node";
	char **arguments = calloc((size_t)argc + 2, sizeof *arguments);

	if (arguments == NULL)
		fail("no memory for %d arguments", argc);
	arguments[0] = (char *)node; /* execvp changes none of them */
	arguments[1] = (char *)installation_script();
	if (argc > 1)
		memcpy(arguments + 2, argv + 1, (size_t)(argc - 1) * sizeof *arguments);
	execvp(node, arguments);
	fail_errno("%s cannot be started; install Node 20.19 or later, or name it in HOLDFAST_NODE", node);
}
