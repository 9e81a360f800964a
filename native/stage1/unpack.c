/*
 * holdfast-stage1 unpack ROOT: chroots into ROOT and applies the operation stream on standard input.
 *
 * stage1/image/operations.ts parses and decides; this program only carries out. It trusts nothing it is told about
 * paths: it has left the host's root behind before it reads the first byte, and it opens each parent directory with
 * openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS), so a path with a symlink or ".." in it fails instead of being
 * followed.
 *
 * The stream: the 8 bytes "HFUNPK01", then operations, then END. All numbers are little-endian.
 *
 *   offset  size  field
 *        0     4  operation (below)
 *        4     4  length of path, 0 for the root itself
 *        8     4  length of argument: symlink's target, hardlink's source, name of the extended attribute
 *       12     4  mode; its type counts for NODE only
 *       16     4  uid
 *       20     4  gid
 *       24     4  device major (NODE)
 *       28     4  device minor (NODE)
 *       32     8  modification time, seconds, signed
 *       40     4  modification time, nanoseconds
 *       44     4  zero
 *       48     8  length of data: contents of a FILE, value of an XATTR
 *       56        path, argument, data, without terminators
 *
 * MKDIR makes a directory of mode 0700, or rids one that exists of its extended attributes; META then gives it its
 * owner, mode and time, after its contents are there. REMOVE takes a whole tree; a missing one is an error. Everything
 * else that is made must not exist yet.
 *
 * Exit status 0 after END and nothing behind it, else 254 and one line "unpack: errno N: text" on standard error.
 */
#include "unpack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { MKDIR = 1, REGULAR = 2, SYMLINK = 3, HARDLINK = 4, NODE = 5, REMOVE = 6, XATTR = 7, META = 8, END = 9 };
enum { HEADER_SIZE = 56, BUFFER_SIZE = 256 * 1024, MAX_XATTR = 64 * 1024, MAX_REMOVE_DEPTH = 300 };

/* openat2(2) as the kernel defines it; musl's tool chain comes without the kernel's headers. */
struct open_how_v0 {
	uint64_t flags, mode, resolve;
};
#define OPENAT2_NUMBER 437
#define NO_SYMLINKS_BENEATH (0x04 | 0x08) /* RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH */

struct operation {
	uint32_t kind, mode, uid, gid, major, minor;
	struct timespec mtime;
	uint64_t data_length;
	char path[PATH_MAX], argument[PATH_MAX];
};

static unsigned char buffer[BUFFER_SIZE];
static size_t buffer_at, buffer_end;
static int root_fd;

/* Prints why it ended and ends. The path is printed with everything but plain ASCII escaped: it is hostile text. */
static void die(const char *what, const char *path, int error)
{
	fprintf(stderr, "unpack: errno %d: %s '", error, what);
	for (const unsigned char *p = (const unsigned char *)path; *p != 0; p++) {
		if (*p >= 0x20 && *p < 0x7f && *p != '\\') fputc(*p, stderr);
		else fprintf(stderr, "\\x%02x", *p);
	}
	fprintf(stderr, "': %s\n", strerror(error));
	exit(254);
}

/* Makes at least one byte available in the buffer; a stream that ends early is an error. */
static void fill(void)
{
	ssize_t n;
	do n = read(STDIN_FILENO, buffer, BUFFER_SIZE);
	while (n < 0 && errno == EINTR);
	if (n < 0) die("read operation stream", "", errno);
	if (n == 0) die("operation stream ends before END", "", EPIPE);
	buffer_at = 0;
	buffer_end = (size_t)n;
}

static void take(void *to, size_t length)
{
	unsigned char *out = to;
	while (length > 0) {
		if (buffer_at == buffer_end) fill();
		size_t part = buffer_end - buffer_at < length ? buffer_end - buffer_at : length;
		memcpy(out, buffer + buffer_at, part);
		buffer_at += part;
		out += part;
		length -= part;
	}
}

static uint32_t u32(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t u64(const unsigned char *p)
{
	return (uint64_t)u32(p) | (uint64_t)u32(p + 4) << 32;
}

static void take_text(char *to, uint32_t length)
{
	if (length >= PATH_MAX) die("path or argument too long", "", ENAMETOOLONG);
	take(to, length);
	to[length] = 0;
	if (strlen(to) != length) die("path or argument contains NUL", to, EINVAL);
}

static void take_operation(struct operation *op)
{
	unsigned char h[HEADER_SIZE];
	take(h, sizeof h);
	op->kind = u32(h);
	op->mode = u32(h + 12);
	op->uid = u32(h + 16);
	op->gid = u32(h + 20);
	op->major = u32(h + 24);
	op->minor = u32(h + 28);
	op->mtime.tv_sec = (time_t)u64(h + 32);
	op->mtime.tv_nsec = (long)u32(h + 40);
	op->data_length = u64(h + 48);
	take_text(op->path, u32(h + 4));
	take_text(op->argument, u32(h + 8));
}

static int open_beneath(const char *path, int flags)
{
	if (*path == 0) return fcntl(root_fd, F_DUPFD_CLOEXEC, 0);
	struct open_how_v0 how = {.flags = (uint64_t)(flags | O_CLOEXEC), .resolve = NO_SYMLINKS_BENEATH};
	return (int)syscall(OPENAT2_NUMBER, root_fd, path, &how, sizeof how);
}

/* The directory of the operation before is kept open: archives list a directory's entries one after another. */
static char kept[PATH_MAX];
static int kept_fd = -1;

static void forget_kept(void)
{
	if (kept_fd >= 0) close(kept_fd);
	kept_fd = -1;
}

/* The directory that holds `path`, and in *name the last component. */
static int parent_of(const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	size_t length = slash == NULL ? 0 : (size_t)(slash - path);
	*name = slash == NULL ? path : slash + 1;
	if (**name == 0 || strcmp(*name, ".") == 0 || strcmp(*name, "..") == 0) die("bad path", path, EINVAL);
	if (kept_fd >= 0 && strlen(kept) == length && memcmp(kept, path, length) == 0) return kept_fd;
	forget_kept();
	memcpy(kept, path, length);
	kept[length] = 0;
	kept_fd = open_beneath(kept, O_PATH | O_DIRECTORY);
	if (kept_fd < 0) die("open directory", kept, errno);
	return kept_fd;
}

static void set_owner_and_time(int dir, const char *name, const struct operation *op)
{
	struct timespec times[2] = {op->mtime, op->mtime};
	if (fchownat(dir, name, op->uid, op->gid, AT_SYMLINK_NOFOLLOW) != 0) die("set owner of", op->path, errno);
	/* After chown, which clears the set-id bits. Symlinks have no mode of their own. */
	if (op->kind != SYMLINK && fchmodat(dir, name, op->mode & 07777, 0) != 0) die("set mode of", op->path, errno);
	if (utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) != 0) die("set time of", op->path, errno);
}

static void write_all(int fd, const unsigned char *from, size_t length, const char *path)
{
	while (length > 0) {
		ssize_t n = write(fd, from, length);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) die("write", path, errno);
		from += n;
		length -= (size_t)n;
	}
}

static void make_file(const struct operation *op)
{
	const char *name;
	int dir = parent_of(op->path, &name);
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) die("create file", op->path, errno);
	for (uint64_t left = op->data_length; left > 0;) {
		if (buffer_at == buffer_end) fill();
		size_t part = buffer_end - buffer_at < left ? buffer_end - buffer_at : (size_t)left;
		write_all(fd, buffer + buffer_at, part, op->path);
		buffer_at += part;
		left -= part;
	}
	struct timespec times[2] = {op->mtime, op->mtime};
	if (fchown(fd, op->uid, op->gid) != 0) die("set owner of", op->path, errno);
	if (fchmod(fd, op->mode & 07777) != 0) die("set mode of", op->path, errno);
	if (futimens(fd, times) != 0) die("set time of", op->path, errno);
	if (close(fd) != 0) die("close", op->path, errno);
}

static void make_link(const struct operation *op)
{
	const char *from_name, *name;
	/* parent_of() keeps one directory only: the source's needs a descriptor of its own. */
	int from = dup(parent_of(op->argument, &from_name));
	if (from < 0) die("open directory of", op->argument, errno);
	int dir = parent_of(op->path, &name);
	if (linkat(from, from_name, dir, name, 0) != 0) die("link", op->path, errno); /* 0: never follows a symlink */
	close(from);
}

static void make_node(const struct operation *op)
{
	const char *name;
	mode_t type = op->mode & S_IFMT;
	if (type != S_IFCHR && type != S_IFBLK && type != S_IFIFO) die("bad node type", op->path, EINVAL);
	int dir = parent_of(op->path, &name);
	if (mknodat(dir, name, type | 0600, makedev(op->major, op->minor)) != 0) die("make node", op->path, errno);
	set_owner_and_time(dir, name, op);
}

static void remove_at(int dir, const char *name, const char *path, int depth)
{
	if (unlinkat(dir, name, 0) == 0) return;
	if (errno != EISDIR && errno != EPERM) die("remove", path, errno);
	if (depth > MAX_REMOVE_DEPTH) die("remove", path, ELOOP);
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) die("open directory", path, errno);
	DIR *listing = fdopendir(fd);
	if (listing == NULL) die("list directory", path, errno);
	for (struct dirent *e; errno = 0, (e = readdir(listing)) != NULL;) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) remove_at(fd, e->d_name, path, depth + 1);
	}
	if (errno != 0) die("list directory", path, errno);
	closedir(listing);
	if (unlinkat(dir, name, AT_REMOVEDIR) != 0) die("remove directory", path, errno);
}

/*
 * Extended attributes are set on an open file, so that nothing is resolved twice. Only these two families are ever
 * taken; the reader of the archive drops or refuses the others before.
 */
static void set_xattr(const struct operation *op)
{
	static char value[MAX_XATTR];
	if (op->data_length > sizeof value) die("extended attribute too large on", op->path, E2BIG);
	if (strncmp(op->argument, "user.", 5) != 0 && strcmp(op->argument, "security.capability") != 0)
		die("extended attribute not allowed on", op->path, EPERM);
	take(value, (size_t)op->data_length);
	int fd = open_beneath(op->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0) die("open", op->path, errno);
	if (fsetxattr(fd, op->argument, value, (size_t)op->data_length, XATTR_CREATE) != 0)
		die("set extended attribute on", op->path, errno);
	close(fd);
}

/* A directory that a higher layer names again has the attributes of that layer only. */
static void clear_xattrs(int fd, const char *path)
{
	static char names[MAX_XATTR];
	ssize_t length = flistxattr(fd, names, sizeof names);
	if (length < 0 && errno != ENOTSUP) die("list extended attributes of", path, errno);
	for (ssize_t at = 0; at < length; at += (ssize_t)strlen(names + at) + 1) {
		if (strncmp(names + at, "user.", 5) == 0 && fremovexattr(fd, names + at) != 0)
			die("remove extended attribute of", path, errno);
	}
}

static void set_directory(const struct operation *op)
{
	struct timespec times[2] = {op->mtime, op->mtime};
	int fd = open_beneath(*op->path == 0 ? "." : op->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	if (fd < 0) die("open directory", op->path, errno);
	if (fchown(fd, op->uid, op->gid) != 0) die("set owner of", op->path, errno);
	if (fchmod(fd, op->mode & 07777) != 0) die("set mode of", op->path, errno);
	if (futimens(fd, times) != 0) die("set time of", op->path, errno);
	close(fd);
}

static void apply(const struct operation *op)
{
	const char *name;
	if (op->kind != REGULAR && op->kind != XATTR && op->data_length != 0) die("unexpected data for", op->path, EINVAL);
	switch (op->kind) {
	case MKDIR: {
		if (*op->path != 0) {
			int dir = parent_of(op->path, &name);
			if (mkdirat(dir, name, 0700) == 0) return;
			if (errno != EEXIST) die("make directory", op->path, errno);
		}
		int fd = open_beneath(op->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
		if (fd < 0) die("open directory", op->path, errno);
		clear_xattrs(fd, op->path);
		close(fd);
		return;
	}
	case REGULAR:
		return make_file(op);
	case SYMLINK: {
		int dir = parent_of(op->path, &name);
		if (symlinkat(op->argument, dir, name) != 0) die("make symlink", op->path, errno);
		return set_owner_and_time(dir, name, op);
	}
	case HARDLINK:
		return make_link(op);
	case NODE:
		return make_node(op);
	case REMOVE: {
		int dir = parent_of(op->path, &name);
		remove_at(dir, name, op->path, 0);
		forget_kept(); /* it may have been inside */
		return;
	}
	case XATTR:
		return set_xattr(op);
	case META:
		return set_directory(op);
	default:
		die("unknown operation for", op->path, EINVAL);
	}
}

int unpack_main(int argc, char **argv)
{
	static struct operation op;
	char magic[8];
	if (argc != 2) {
		fprintf(stderr, "unpack: errno %d: wants one argument, the directory to unpack into\n", EINVAL);
		return 254;
	}
	umask(0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) die("set no_new_privs", "", errno);
	if (chdir(argv[1]) != 0) die("enter", argv[1], errno);
	if (chroot(".") != 0) die("chroot into", argv[1], errno);
	root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0 || chdir("/") != 0) die("open root", "", errno);
	take(magic, sizeof magic);
	if (memcmp(magic, "HFUNPK01", sizeof magic) != 0) die("not an operation stream", "", EINVAL);
	for (;;) {
		take_operation(&op);
		if (op.kind == END) break;
		apply(&op);
	}
	if (buffer_at != buffer_end || read(STDIN_FILENO, buffer, 1) != 0) die("data after END", "", EINVAL);
	return 0;
}
