#ifndef HOLDFAST_INSTALLATION_H
#define HOLDFAST_INSTALLATION_H

#include <stddef.h>

/* Finds out in which directory this program lies, links followed, or fails. */
void installation_find(void);

/* Path of holdfast.js there. */
const char *installation_script(void);

/* What installationIdentity() of stage1/cli/installation.ts makes of holdfast.js; an empty text where it is missing. */
void installation_identity(char *text, size_t size);

#endif
