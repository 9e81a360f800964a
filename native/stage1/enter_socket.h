#ifndef HOLDFAST_ENTER_SOCKET_H
#define HOLDFAST_ENTER_SOCKET_H

#define ENTER_SOCKET "enter.sock"

/* Listens on ENTER_SOCKET in the working directory, for root alone. Returns the descriptor. */
int enter_socket_listen(void);

/* A connection of root's, nonblocking, or -1. */
int enter_socket_accept(int listener);

/* Connects to the socket `path`, which may be longer than a socket's address. Returns the descriptor, or -1 with errno. */
int enter_socket_connect(const char *path);

#endif
