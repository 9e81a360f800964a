#include "keeper.h"

#include "clock.h"
#include "enter_port.h"
#include "enter_socket.h"
#include "fail.h"
#include "guest_state.h"
#include "keeper_end.h"
#include "logs.h"
#include "qmp.h"
#include "status.h"
#include "tail.h"
#include "user_streams.h"
#include "user_terminal.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	CONSOLE_LOG_BYTES = 256 * 1024,
	CONSOLE_LOG_FILES = 2,
	CHUNK_BYTES = 4096,
	STOP_EXTRA_MS = 5000, /* what stage0 gives a pod, too, beyond twice its stop timeout */
	QUIT_MS = 2000,	      /* for QEMU to end when told to */
	LAST_WORDS_MS = 10000, /* for who entered to take what is left when QEMU has ended */
	EXIT_MS = 10000,      /* for QEMU to end when its guest has */
	POWER_OFF_MS = 60000, /* for the guest to write to its disk what it has, when it was told to power off */
};

enum { SIGNALS, MONITOR, CONTROL, STREAMS, CONSOLE, WORDS, LISTENER, INPUT, OUTPUT, ENTER, WAITS = ENTER + ENTER_WAITS * FRAME_ENTER_PORTS };

static struct keeper {
	const struct vm *vm;
	pid_t shares[PLAN_MAX_VOLUMES]; /* 0: it has ended */
	pid_t tpm;			/* 0: it has ended, or there is none */
	struct guest_state guest;
	struct qmp qmp;
	struct user_streams streams;
	struct tail console_tail, words_tail;
	struct log *console_log;
	struct frame_reader from_control, from_streams;
	struct frame_writer to_control, to_streams;
	struct enter_port enter[FRAME_ENTER_PORTS];
	int monitor, control, stream_port, console, words; /* -1: at its end */
	int signals, listener;
	int64_t hello_by, stop_by, kill_by, told_by; /* monotonic, 0: no deadline */
	int stops, off_said;
	int qemu_ended;
	struct end_facts facts;
} keeper;

static int handled_signals(void)
{
	static const int numbers[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGWINCH};
	sigset_t handled, all;
	int fd;

	sigemptyset(&handled);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		sigaddset(&handled, numbers[i]);
	sigfillset(&all);
	if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
		fail_errno("sigprocmask");
	fd = signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		fail_errno("signalfd");
	return fd;
}

static void kill_qemu(struct keeper *k)
{
	if (!k->qemu_ended)
		kill(k->vm->qemu, SIGKILL);
}

static void end_within(struct keeper *k, int64_t ms)
{
	int64_t by = monotonic_ms() + ms;

	if (k->kill_by == 0 || by < k->kill_by)
		k->kill_by = by;
}

/* Nothing is read of the guest any more: the rest would be guessing. */
static void take_nonsense(struct keeper *k, const char *what)
{
	if (what == NULL || k->facts.nonsense != NULL)
		return;
	k->facts.nonsense = what;
	k->monitor = k->control = k->stream_port = k->console = -1;
	k->streams.held.size = 0;
	kill_qemu(k);
}

static void quit(struct keeper *k)
{
	k->facts.is_forced = 1;
	if (k->monitor >= 0)
		qmp_quit(k->monitor);
	end_within(k, QUIT_MS);
}

static void stop(struct keeper *k)
{
	k->stops++;
	if (k->qemu_ended) { /* only the consumer of the streams is waited for */
		k->streams.held.size = 0;
		k->stream_port = -1;
	} else if (!k->guest.greeted || k->stops > 1) { /* before HELLO no app has run: there is nobody to be asked */
		quit(k);
	} else {
		frames_put(&k->to_control, FRAME_STOP, 0, NULL, 0);
		k->stop_by = monotonic_ms() + 2 * k->vm->stop_timeout_ms + STOP_EXTRA_MS;
	}
}

static void tell_size(struct keeper *k)
{
	struct winsize size;
	uint16_t numbers[2];

	if (k->streams.kind != STREAMS_TERMINAL || !k->guest.greeted || user_terminal_size(&size) < 0)
		return;
	numbers[0] = htole16(size.ws_row);
	numbers[1] = htole16(size.ws_col);
	frames_put(&k->to_control, FRAME_RESIZE, 0, numbers, sizeof numbers); /* where it does not fit, the guest is not listening */
}

/* They end with QEMU, and a moment before it is seen to have ended; but without them it cannot go on. */
static void lose_share(struct keeper *k, size_t position)
{
	k->shares[position] = 0;
	if (k->qemu_ended || k->qmp.seen.shutdown || k->kill_by != 0)
		return;
	k->facts.lost_share = (int)position;
	end_within(k, QUIT_MS);
}

/* The guest would go on with a TPM that answers nothing but errors. */
static void lose_tpm(struct keeper *k)
{
	k->tpm = 0;
	if (k->qemu_ended || k->qmp.seen.shutdown || k->kill_by != 0)
		return;
	k->facts.lost_tpm = 1;
	end_within(k, QUIT_MS);
}

static void reap(struct keeper *k)
{
	int wait_status;
	pid_t pid;

	while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0) {
		if (pid == k->vm->qemu) {
			k->qemu_ended = 1;
			k->told_by = monotonic_ms() + LAST_WORDS_MS;
			k->facts.wait_status = wait_status;
		}
		for (size_t i = 0; i < k->vm->share_count; i++)
			if (k->shares[i] == pid)
				lose_share(k, i);
		if (k->tpm == pid)
			lose_tpm(k);
	}
}

static void take_signals(struct keeper *k)
{
	struct signalfd_siginfo info;

	while (read(k->signals, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGCHLD)
			reap(k);
		else if (info.ssi_signo == SIGWINCH)
			tell_size(k);
		else
			stop(k);
	}
}

/* Returns whether the port is still open. An end that QEMU does not follow at once is no way to go on either. */
static int fill(struct keeper *k, struct frame_reader *reader, int fd)
{
	ssize_t n = frames_fill(reader, fd);

	if (n > 0 || (n < 0 && errno == EAGAIN))
		return 1;
	end_within(k, EXIT_MS);
	return 0;
}

static void take_control(struct keeper *k)
{
	struct frame frame;
	int n;

	if (!fill(k, &k->from_control, k->control))
		k->control = -1;
	while (k->facts.nonsense == NULL && (n = frames_next(&k->from_control, &frame)) != 0) {
		int greeted = k->guest.greeted;

		take_nonsense(k, n < 0 ? "a frame is too long" : guest_state_take(&k->guest, &frame));
		if (!greeted && k->guest.greeted) {
			k->hello_by = 0;
			tell_size(k);
		}
	}
	if (k->guest.has_failure)
		end_within(k, POWER_OFF_MS);
}

static void take_monitor(struct keeper *k)
{
	int n = qmp_take(&k->qmp, k->monitor);

	if (n < 0) {
		take_nonsense(k, "QEMU's monitor says a line that is too long");
		return;
	}
	if (n == 0)
		k->monitor = -1;
	if (n == 0 || k->qmp.seen.shutdown || k->qmp.seen.crashed)
		end_within(k, EXIT_MS);
}

/* Returns the bytes that came, 0 at the end, -1 where nothing is there. */
static ssize_t take_words(int fd, struct tail *tail, char *bytes)
{
	ssize_t n = read(fd, bytes, CHUNK_BYTES);

	if (n > 0)
		tail_put(tail, bytes, (size_t)n);
	return n < 0 && errno != EAGAIN && errno != EINTR ? 0 : n;
}

static void take_console(struct keeper *k)
{
	char bytes[CHUNK_BYTES];
	ssize_t n = take_words(k->console, &k->console_tail, bytes);

	if (n > 0)
		log_put(k->console_log, 0, bytes, (size_t)n);
	if (n == 0) {
		k->console = -1;
		end_within(k, EXIT_MS);
	}
}

static void let_in(struct keeper *k)
{
	int client = enter_socket_accept(k->listener);

	if (client < 0)
		return;
	if (!k->guest.greeted) {
		enter_port_refuse(client, "the pod boots still");
		return;
	}
	if (k->guest.result >= 0 || k->guest.has_failure || k->qemu_ended) {
		enter_port_refuse(client, "the pod has ended");
		return;
	}
	for (size_t i = 0; i < FRAME_ENTER_PORTS; i++)
		if (k->enter[i].state == ENTER_FREE) {
			enter_port_connect(&k->enter[i], client);
			return;
		}
	enter_port_refuse(client, "all enter ports of the pod are in use");
}

static void wait_for(const struct keeper *k, struct pollfd *at)
{
	int to_control = k->to_control.start < k->to_control.end, to_streams = k->to_streams.start < k->to_streams.end;
	int blocked_on = user_streams_blocked_on(&k->streams), is_up = k->guest.greeted && k->stream_port >= 0;
	short streams = (short)((blocked_on < 0 ? POLLIN : 0) | (to_streams ? POLLOUT : 0));

	at[SIGNALS] = (struct pollfd){.fd = k->signals, .events = POLLIN};
	at[MONITOR] = (struct pollfd){.fd = k->monitor, .events = POLLIN};
	at[CONTROL] = (struct pollfd){.fd = k->control, .events = (short)(POLLIN | (to_control ? POLLOUT : 0))};
	at[STREAMS] = (struct pollfd){.fd = streams != 0 ? k->stream_port : -1, .events = streams};
	at[CONSOLE] = (struct pollfd){.fd = k->console, .events = POLLIN};
	at[WORDS] = (struct pollfd){.fd = k->words, .events = POLLIN};
	at[LISTENER] = (struct pollfd){.fd = k->listener, .events = POLLIN};
	at[INPUT] = (struct pollfd){.fd = is_up ? user_streams_wants_input(&k->streams, &k->to_streams) : -1, .events = POLLIN};
	at[OUTPUT] = (struct pollfd){.fd = blocked_on, .events = POLLOUT};
	for (size_t i = 0; i < FRAME_ENTER_PORTS; i++)
		enter_port_wait_for(&k->enter[i], &at[ENTER + ENTER_WAITS * i]);
}

static void take_streams(struct keeper *k, const struct pollfd *at)
{
	if (at[OUTPUT].revents != 0)
		user_streams_flush(&k->streams);
	if (k->stream_port >= 0 && at[STREAMS].revents != 0 && at[STREAMS].events & POLLIN && !fill(k, &k->from_streams, k->stream_port))
		k->stream_port = -1;
	if (k->facts.nonsense == NULL)
		take_nonsense(k, user_streams_take(&k->streams, &k->guest, &k->from_streams));
	if (at[INPUT].revents != 0 && k->stream_port >= 0)
		user_streams_read(&k->streams, &k->to_streams);
}

static void take_enter(struct keeper *k, const struct pollfd *at)
{
	if (at[LISTENER].revents != 0)
		let_in(k);
	for (size_t i = 0; i < FRAME_ENTER_PORTS && k->facts.nonsense == NULL; i++)
		take_nonsense(k, enter_port_take(&k->enter[i], &at[ENTER + ENTER_WAITS * i], k->guest.app_count));
}

/* What a port does not take is kept, and one that is gone is noticed where it is read. */
static void send_queued(struct keeper *k)
{
	if (guest_state_is_complete(&k->guest) && !k->off_said) {
		k->off_said = 1;
		frames_put(&k->to_control, FRAME_OFF, 0, NULL, 0);
		end_within(k, POWER_OFF_MS);
	}
	if (k->control >= 0)
		frames_flush(&k->to_control, k->control);
	if (k->stream_port >= 0)
		frames_flush(&k->to_streams, k->stream_port);
}

static void take(struct keeper *k, const struct pollfd *at)
{
	char bytes[CHUNK_BYTES];

	if (at[MONITOR].revents != 0)
		take_monitor(k);
	if (at[CONSOLE].revents != 0 && k->console >= 0)
		take_console(k);
	if (at[WORDS].revents != 0 && take_words(k->words, &k->words_tail, bytes) == 0)
		k->words = -1;
	if (at[CONTROL].revents != 0 && k->control >= 0)
		take_control(k);
	take_streams(k, at);
	take_enter(k, at);
	if (at[SIGNALS].revents != 0)
		take_signals(k);
	send_queued(k);
}

static int earliest(const struct keeper *k, int64_t now)
{
	const int64_t deadlines[] = {k->hello_by, k->stop_by, k->kill_by};
	int64_t next = k->qemu_ended && now < k->told_by ? k->told_by : -1;

	for (size_t i = 0; i < sizeof deadlines / sizeof *deadlines && !k->qemu_ended; i++)
		if (deadlines[i] != 0 && (next < 0 || deadlines[i] < next))
			next = deadlines[i];
	return next < 0 ? -1 : next > now ? (int)(next - now) : 0;
}

static void meet_deadlines(struct keeper *k, int64_t now)
{
	if (k->hello_by != 0 && now >= k->hello_by) {
		k->hello_by = 0;
		k->facts.hung_at_boot = 1;
		kill_qemu(k);
	}
	if (k->stop_by != 0 && now >= k->stop_by) {
		k->stop_by = 0;
		quit(k);
	}
	if (k->kill_by != 0 && now >= k->kill_by) {
		k->kill_by = 0;
		kill_qemu(k);
	}
}

/* Who entered and reads slowly has some time for the last of it; who started the pod has as long as he likes. */
static int is_anybody_told_more(const struct keeper *k)
{
	for (size_t i = 0; i < FRAME_ENTER_PORTS; i++)
		if (enter_port_has_more(&k->enter[i]))
			return monotonic_ms() < k->told_by;
	return 0;
}

static int is_over(const struct keeper *k)
{
	return k->qemu_ended && !is_anybody_told_more(k) && k->monitor < 0 && k->control < 0 && k->stream_port < 0 && k->console < 0 && k->streams.held.size == 0;
}

static void end_helpers(const struct keeper *k)
{
	for (size_t i = 0; i < k->vm->share_count; i++)
		if (k->shares[i] > 0)
			kill(k->shares[i], SIGKILL);
	if (k->tpm > 0)
		kill(k->tpm, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
}

static int conclude(struct keeper *k)
{
	static struct pod_end end;
	char bytes[CHUNK_BYTES];

	user_terminal_restore();
	unlink(ENTER_SOCKET);
	close(k->listener);
	end_helpers(k);
	while (k->words >= 0 && take_words(k->words, &k->words_tail, bytes) > 0)
		;
	log_end(k->console_log, 0);
	keeper_decide_end(&k->facts, &end);
	status_write_vm(k->guest.status_directory, end.end, end.message);
	guest_state_write_end(&k->guest);
	if (end.message[0] != 0)
		warn("%s", end.message);
	return end.status;
}

static int open_directory(const char *name)
{
	int fd = open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		fail_errno("%s", name);
	return fd;
}

static void begin(struct keeper *k, const struct vm *vm)
{
	int log_directory = open_directory("log");

	k->vm = vm;
	memcpy(k->shares, vm->shares, sizeof k->shares);
	k->tpm = vm->tpm;
	k->monitor = vm->monitor;
	k->control = vm->control;
	k->stream_port = vm->stream_port;
	k->console = vm->console;
	k->words = vm->words;
	k->facts = (struct end_facts){.guest = &k->guest,
				      .seen = &k->qmp.seen,
				      .console = &k->console_tail,
				      .words = &k->words_tail,
				      .lost_share = -1};
	k->hello_by = monotonic_ms() + vm->boot_timeout_ms;
	guest_state_init(&k->guest, vm->apps, open_directory("status"));
	user_streams_open(&k->streams, &vm->streams, &k->guest, log_directory);
	k->console_log = log_open_unpiped(log_directory, "_console", CONSOLE_LOG_BYTES, CONSOLE_LOG_FILES);
	for (size_t i = 0; i < FRAME_ENTER_PORTS; i++) {
		k->enter[i].port = vm->enter[i];
		k->enter[i].client = -1;
	}
	k->signals = handled_signals();
	k->listener = enter_socket_listen();
	if (vm->streams.kind == STREAMS_TERMINAL)
		user_terminal_raw();
}

int keeper_run(const struct vm *vm)
{
	struct keeper *k = &keeper;
	struct pollfd at[WAITS];

	fail_as("keeper", EXIT_HOLDFAST);
	begin(k, vm);
	reap(k); /* what ended before its signal was watched for */
	while (!is_over(k)) {
		wait_for(k, at);
		if (poll(at, WAITS, earliest(k, monotonic_ms())) < 0) {
			if (errno != EINTR)
				fail_errno("poll");
			continue;
		}
		take(k, at);
		meet_deadlines(k, monotonic_ms());
	}
	return conclude(k);
}
