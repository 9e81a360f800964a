#ifndef HOLDFAST_UNDO_H
#define HOLDFAST_UNDO_H

enum { UNDO_MAX_STEPS = 64, UNDO_DEADLINE_MS = 30000 };

/*
 * Runs every step that is left in `network`/undo, numbered from 0, from the last to the first, and removes the file of
 * each that succeeded. A step's file is a list: "must" or "may", the program's absolute path, its standard input, and
 * its environment. What "may" be undone was refused by the same program before; its file is removed either way. A step
 * may take UNDO_DEADLINE_MS and is killed then, with its process group.
 *
 * `namespace` is what CNI_NETNS names in steps; where no namespace is there any more, after a reboot for instance, it
 * is emptied, which tells a plugin to free what it holds elsewhere. Returns how many steps failed; each was told
 * through warn().
 */
int undo_steps(int network, const char *namespace);

#endif
