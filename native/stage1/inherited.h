#ifndef HOLDFAST_INHERITED_H
#define HOLDFAST_INHERITED_H

/* The descriptor whose decimal number `text` is, which must be open; `what` names it in the message. */
int inherited(const char *text, const char *what);

#endif
