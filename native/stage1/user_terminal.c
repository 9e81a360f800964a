#include "user_terminal.h"

#include "fail.h"

#include <termios.h>
#include <unistd.h>

static struct termios before;
static int is_raw;

void user_terminal_raw(void)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &before) < 0)
		return;
	raw = before;
	cfmakeraw(&raw);
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0)
		fail_errno("raw mode");
	is_raw = 1;
}

void user_terminal_restore(void)
{
	if (is_raw && tcsetattr(STDIN_FILENO, TCSANOW, &before) < 0)
		warn_errno("mode of the terminal");
	is_raw = 0;
}

int user_terminal_size(struct winsize *size)
{
	return ioctl(STDIN_FILENO, TIOCGWINSZ, size);
}
