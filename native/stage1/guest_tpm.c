#include "guest_tpm.h"

#include "fail.h"
#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* What systemd's list of PCRs has for the payload that is booted; firmware (0 to 7), boot loaders (8, 9) and IMA (10) leave it alone. */
#define ARCHIVE_PCR 11

enum { DIGEST_BYTES = 32, RESPONSE_CODE_AT = 6, HEADER_BYTES = 10, PATH_BYTES = 64 };

/* TPM2_PCR_Extend (TPM 2.0 Part 3 r1.59 §22.2) of one SHA-256 digest, authorised by an empty password. */
static const unsigned char PCR_EXTEND[] = {
	0x80, 0x02,		     /* TPM_ST_SESSIONS */
	0x00, 0x00, 0x00, 0x41,	     /* size, with the digest */
	0x00, 0x00, 0x01, 0x82,	     /* TPM_CC_PCR_Extend */
	0x00, 0x00, 0x00, ARCHIVE_PCR,
	0x00, 0x00, 0x00, 0x09,	     /* size of the authorisation: */
	0x40, 0x00, 0x00, 0x09,	     /* TPM_RS_PW */
	0x00, 0x00, 0x00, 0x00, 0x00, /* no nonce, no attributes, no password */
	0x00, 0x00, 0x00, 0x01,	     /* one digest: */
	0x00, 0x0b,		     /* TPM_ALG_SHA256 */
};

static unsigned char hex_digit(const char *digest, char c)
{
	const char *digits = "0123456789abcdef", *at = c == 0 ? NULL : strchr(digits, c);

	if (at == NULL)
		fail("pod-archive: %s is no digest", digest);
	return (unsigned char)(at - digits);
}

static void read_digest(int plan, unsigned char digest[DIGEST_BYTES])
{
	const char *text = plan_read_text(plan, "pod-archive");

	if (strlen(text) != 2 * DIGEST_BYTES)
		fail("pod-archive: %s is no digest", text);
	for (size_t i = 0; i < DIGEST_BYTES; i++)
		digest[i] = (unsigned char)(hex_digit(text, text[2 * i]) << 4 | hex_digit(text, text[2 * i + 1]));
}

static void extend(const char *devices, const unsigned char digest[DIGEST_BYTES])
{
	unsigned char command[sizeof PCR_EXTEND + DIGEST_BYTES], response[4096];
	char path[PATH_BYTES];
	ssize_t n;
	int fd;

	memcpy(command, PCR_EXTEND, sizeof PCR_EXTEND);
	memcpy(command + sizeof PCR_EXTEND, digest, DIGEST_BYTES);
	snprintf(path, sizeof path, "%s/tpm0", devices);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		fail("the host gives no TPM");
	if (fd < 0)
		fail_errno("the TPM");
	if (write(fd, command, sizeof command) != (ssize_t)sizeof command)
		fail_errno("telling the TPM of the guest's archive");
	n = read(fd, response, sizeof response); /* waits for the TPM */
	if (n < 0)
		fail_errno("the TPM's answer");
	if (n < HEADER_BYTES || memcmp(response + RESPONSE_CODE_AT, "\0\0\0\0", 4) != 0)
		fail("the TPM does not take the digest of the guest's archive: answer of %zd bytes, code 0x%02x%02x", n,
		     n < HEADER_BYTES ? 0 : response[RESPONSE_CODE_AT + 2], n < HEADER_BYTES ? 0 : response[RESPONSE_CODE_AT + 3]);
	close(fd);
}

/* The resource manager alone: what one program leaves in the TPM is not in the way of another, and nobody sees another's. */
static void show_to_apps(const char *devices)
{
	char path[PATH_BYTES];
	struct stat st;

	snprintf(path, sizeof path, "%s/tpmrm0", devices);
	if (stat(path, &st) < 0)
		fail_errno("the TPM's resource manager");
	if (mknod("/dev/tpmrm0", S_IFCHR | 0666, st.st_rdev) < 0 || chmod("/dev/tpmrm0", 0666) < 0)
		fail_errno("/dev/tpmrm0");
}

void guest_tpm_begin(int plan, const char *devices)
{
	unsigned char digest[DIGEST_BYTES];

	if (!plan_choice(plan_read_text(plan, "tpm"), "none", "own", "TPM"))
		return;
	read_digest(plan, digest);
	extend(devices, digest);
	show_to_apps(devices);
}
