#include "launch_vm.h"

#include "cgroups.h"
#include "fail.h"
#include "inherited.h"
#include "keeper.h"
#include "lock_holder.h"
#include "mounts.h"
#include "network.h"
#include "plan.h"
#include "plan_copy.h"
#include "profile.h"
#include "shares.h"
#include "tap.h"
#include "vm_process.h"
#include "vm_root.h"
#include "vm_tpm.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where stage0 sees nothing of it: all below <pod>/stage1 is on a tmpfs of the pod's own mount namespace. */
#define SCRATCH "stage1"
#define ROOT SCRATCH "/root"
#define PLAN SCRATCH "/plan"
#define STAGE1 SCRATCH "/image"

enum { ARGUMENTS = 5, MAX_DISKS = 2 * PLAN_MAX_APPS + 1, MAX_TAPS = 64 };
enum { INTERFACE, MAC, TAP_FIELDS };

static const unsigned long MAX_TIMEOUT_MS = 24 * 3600 * 1000;

static void directory(const char *path)
{
	if (mkdir(path, 0755) < 0)
		fail_errno("mkdir %s", path);
}

/* QEMU gets one end as its next descriptor. Returns the other, nonblocking. */
static int connect_qemu(struct vm_process *qemu)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
		fail_errno("sockets to QEMU");
	qemu->fds[qemu->fd_count++] = ends[1];
	return ends[0];
}

static void connect_all(struct vm_process *qemu, struct vm *vm)
{
	vm->monitor = connect_qemu(qemu);
	vm->control = connect_qemu(qemu);
	vm->stream_port = connect_qemu(qemu);
	vm->console = connect_qemu(qemu);
	for (size_t i = 0; i < FRAME_ENTER_PORTS; i++)
		vm->enter[i] = connect_qemu(qemu);
}

static void add_disks(int count, char **numbers, struct vm_process *qemu)
{
	if (count > MAX_DISKS)
		fail("%d disks, at most %d are taken", count, MAX_DISKS);
	for (int i = 0; i < count; i++)
		qemu->fds[qemu->fd_count++] = inherited(numbers[i], "disk");
}

static void add_taps(int plan, struct vm_process *qemu)
{
	struct plan_list taps = plan_read_records(plan, "taps", TAP_FIELDS);

	if (taps.count / TAP_FIELDS > MAX_TAPS)
		fail("%zu taps, at most %d are taken", taps.count / TAP_FIELDS, MAX_TAPS);
	for (size_t i = 0; i < taps.count / TAP_FIELDS; i++)
		qemu->fds[qemu->fd_count++] = tap_open(taps.item[i * TAP_FIELDS + INTERFACE], taps.item[i * TAP_FIELDS + MAC], i);
}

static void enter_cgroups(int plan)
{
	cgroups_make(plan_read_list(plan, "cgroups"));
	cgroups_set(plan_read_list(plan, "cgroup-settings"));
	for (struct plan_list at = plan_read_list(plan, "device-policy-cgroup"); at.count > 0; at.count--)
		cgroups_attach_device_policy(at.item[at.count - 1], plan_read_bytes(plan, "device-policy", 1 << 16));
	cgroups_join(plan_read_list(plan, "cgroups.join"));
}

static void open_words(struct vm_process *qemu, struct vm *vm)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
		fail_errno("pipe");
	vm->words = ends[0];
	qemu->words = ends[1];
	qemu->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (qemu->null < 0)
		fail_errno("/dev/null");
}

/* The keeper holds on to the pod's lock alone: a disk or a tap that it kept open would outlast QEMU. */
static void close_qemus(const struct vm_process *qemu)
{
	for (size_t i = 0; i < qemu->fd_count; i++)
		close(qemu->fds[i]);
	close(qemu->program);
	close(qemu->null);
	close(qemu->words);
}

int launch_vm_main(int argc, char **argv)
{
	static struct vm_process qemu;
	static struct vm vm;
	int plan, lock, stage1, virtiofsd = -1, swtpm = -1, tpm_state = -1, next = ARGUMENTS;

	fail_as("launch", EXIT_HOLDFAST);
	if (argc < ARGUMENTS)
		fail("wanted PLAN LOCK QEMU STAGE1 [VIRTIOFSD] [SWTPM STATE] DISK..., got %d arguments", argc - 1);
	reset_signals(); /* Node leaves SIGPIPE and SIGXFSZ ignored, and ignored signals survive execve */
	umask(022);
	plan = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (plan < 0)
		fail_errno("%s", argv[1]);
	lock = inherited(argv[2], "pod lock");
	qemu.program = inherited(argv[3], "QEMU");
	stage1 = inherited(argv[4], "stage1 tree");
	if (fchdir(plan) < 0 || chdir("..") < 0)
		fail_errno("pod directory");

	network_enter(plan_read_text(plan, "network")); /* first: a namespace by its path on the host */
	private_mount_namespace();
	mount_tmpfs(SCRATCH, "256m");
	plan = plan_copy(plan, PLAN);
	if (plan_read_list(plan, "virtiofsd").count > 0) {
		if (argc == ARGUMENTS)
			fail("a virtiofsd is planned, and none was handed over");
		virtiofsd = inherited(argv[next++], "virtiofsd");
	}
	if (plan_read_list(plan, "tpm").count > 0) {
		if (argc < next + 2)
			fail("a TPM is planned, and none was handed over");
		swtpm = inherited(argv[next++], "swtpm");
		tpm_state = inherited(argv[next++], "TPM");
	}
	vm.apps = plan_read_apps(plan, "apps.list");
	stream_plan_read(PLAN "/streams", vm.apps.count, &vm.streams);
	vm.stop_timeout_ms = (int64_t)plan_read_number(plan, "stop-timeout-ms", MAX_TIMEOUT_MS);
	vm.boot_timeout_ms = (int64_t)plan_read_number(plan, "boot-timeout-ms", MAX_TIMEOUT_MS);
	qemu.argv = plan_read_list(plan, "qemu");
	qemu.env = plan_read_list(plan, "qemu-env");
	qemu.user = vm_user_read(plan, "qemu-user");
	qemu.root = ROOT;

	directory(STAGE1);
	directory(ROOT);
	mount_erofs(stage1, STAGE1);
	close(stage1);
	vm_root_make(ROOT, STAGE1, plan, plan_read_list(plan, "qemu-devices"));
	connect_all(&qemu, &vm);
	add_disks(argc - next, argv + next, &qemu);
	add_taps(plan, &qemu); /* before the device policy, which knows what QEMU may open */
	enter_cgroups(plan);
	open_words(&qemu, &vm);
	shares_start(plan, SCRATCH, ROOT, virtiofsd, &qemu.user, qemu.null, qemu.words, &vm);
	if (swtpm >= 0)
		vm_tpm_start(plan, SCRATCH, swtpm, tpm_state, qemu.null, qemu.words, &qemu, &vm);
	vm_root_close(ROOT);
	vm.qemu = vm_process_start(&qemu);
	lock_holder_start(lock, vm.qemu);
	close_qemus(&qemu);
	if (virtiofsd >= 0)
		close(virtiofsd);
	close(plan);
	return keeper_run(&vm);
}
