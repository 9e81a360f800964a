#ifndef HOLDFAST_REDIRECT_H
#define HOLDFAST_REDIRECT_H

/*
 * All that comes in on the interface with the index `from` goes out on `to`: an ingress queueing discipline, a filter that
 * matches everything, and the action mirred (tc-mirred(8)), by rtnetlink.
 */
void redirect(int from, int to);

#endif
