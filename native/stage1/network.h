#ifndef HOLDFAST_NETWORK_H
#define HOLDFAST_NETWORK_H

/*
 * Enters the network that the plan names: "none" is a new namespace with nothing but loopback in it, "host" the
 * caller's own, and an absolute path a namespace that network_make_namespace made.
 */
void network_enter(const char *planned);

/* Brings up loopback of this process's namespace. */
void network_bring_loopback_up(void);

/*
 * Lets everybody in the network namespace take ports under 1024: it belongs to the user namespace of the host, in which
 * a pod with users of its own has no capabilities.
 */
void network_open_ports(void);

/*
 * Makes a network namespace with loopback up and keeps it under `path`, a file that exists; this process stays in its
 * own. The directory around `path` becomes a shared mount of its own, so that what is unmounted there is unmounted in
 * the mount namespaces of pods too and no pod keeps another's network alive.
 */
void network_make_namespace(const char *path);

/* Whether a network namespace is mounted on `path`: not after a reboot, and not when it was removed already. */
int network_is_namespace(const char *path);

/* Unmounts and removes the file. What is not there is removed already. Returns 0, or -1 with errno. */
int network_remove_namespace(const char *path);

#endif
