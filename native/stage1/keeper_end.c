#include "keeper_end.h"

#include "fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static void __attribute__((format(printf, 4, 5))) set(struct pod_end *end, const char *name, int status, const char *format, ...)
{
	va_list args;

	end->end = name;
	end->status = status;
	va_start(args, format);
	vsnprintf(end->message, sizeof end->message, format, args);
	va_end(args);
}

static void vmm_ended(const struct end_facts *f, const char *words, const char *console, struct pod_end *end)
{
	const char *colon = words[0] == 0 ? "" : ": ";

	if (f->lost_share >= 0)
		set(end, "vmm-ended", EXIT_HOLDFAST, "virtiofsd of the share %d ended%s%s", f->lost_share, colon, words);
	else if (f->lost_tpm)
		set(end, "vmm-ended", EXIT_HOLDFAST, "the TPM (swtpm) ended%s%s", colon, words);
	else if (f->seen->guest_shutdown)
		set(end, "vmm-ended", EXIT_HOLDFAST, "the guest powered off without a result; its console ends with:\n%s", console);
	else if (WIFSIGNALED(f->wait_status))
		set(end, "vmm-ended", EXIT_HOLDFAST, "QEMU was ended by signal %d%s%s", WTERMSIG(f->wait_status), colon, words);
	else
		set(end, "vmm-ended", EXIT_HOLDFAST, "QEMU ended with status %d%s%s", WEXITSTATUS(f->wait_status), colon, words);
}

void keeper_decide_end(const struct end_facts *f, struct pod_end *end)
{
	char console[END_MESSAGE_BYTES], words[END_MESSAGE_BYTES];

	tail_text(f->console, console, sizeof console);
	tail_text(f->words, words, sizeof words);
	if (f->nonsense != NULL)
		set(end, "nonsense", EXIT_HOLDFAST, "the guest talks nonsense: %s", f->nonsense);
	else if (f->guest->result >= 0)
		set(end, "poweroff", f->guest->result, "%s", "");
	else if (f->guest->has_failure)
		set(end, "failed", EXIT_HOLDFAST, "%s", f->guest->failure);
	else if (f->hung_at_boot)
		set(end, "hung-at-boot", EXIT_HOLDFAST, "the guest has not booted in time; its console ends with:\n%s", console);
	else if (f->is_forced)
		set(end, "killed", KILLED_STATUS, "%s", f->guest->greeted ? "the guest had not stopped in time, or was told twice" : "stopped while it booted");
	else if (f->seen->crashed)
		set(end, "crashed", EXIT_HOLDFAST, "the guest crashed; its console ends with:\n%s", console);
	else
		vmm_ended(f, words, console, end);
}
