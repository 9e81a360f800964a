#ifndef HOLDFAST_MOUNTS_H
#define HOLDFAST_MOUNTS_H

/*
 * A mount namespace of our own. What the host unmounts goes here too; what is mounted from here on is seen by nobody
 * outside and is gone with the last process.
 */
void private_mount_namespace(void);

/* Makes `path` where absent (mode 0755) and mounts a tmpfs of at most `size` (as tmpfs takes it, e.g. "16m") on it. */
void mount_tmpfs(const char *path, const char *size);

/*
 * Mounts the EROFS file behind `fd` read-only on the existing directory `target`: from the file itself where the kernel
 * can (Linux 6.12), else through a loop device that frees itself with the mount.
 */
void mount_erofs(int fd, const char *target);

/*
 * Mounts lower (read-only) + upper with work on `target`. Names without ',' and ':' only, relative to the working
 * directory.
 */
void mount_overlay(const char *lower, const char *upper, const char *work, const char *target);

/* Bind mount, not recursive; `flags` such as MS_RDONLY or MS_NODEV are set in a second step, as bind mounts need. */
void mount_bind(const char *source, const char *target, unsigned long flags);

#endif
