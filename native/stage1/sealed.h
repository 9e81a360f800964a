#ifndef HOLDFAST_SEALED_H
#define HOLDFAST_SEALED_H

/*
 * Goes on in a copy of this program that lies in sealed memory: executes it with the arguments `argv`, and returns at once
 * where this is the copy. Nobody who reaches it as /proc/PID/exe can write to it.
 */
void sealed_copy_of_self(char **argv);

#endif
