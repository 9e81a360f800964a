#ifndef HOLDFAST_FRAMES_H
#define HOLDFAST_FRAMES_H

#include <stdint.h>

/*
 * What keeper (host) and guest say to each other over virtio-serial ports: a header, then `size` bytes. Numbers are
 * little-endian. stage1/flavours/kvm/README.md says which kinds go where. Neither believes the other beyond these bounds.
 */
enum { FRAME_VERSION = 1, FRAME_HEADER_BYTES = 4, FRAME_MAX_BYTES = 16384, FRAME_ENTER_PORTS = 4 };

struct frame_header {
	uint8_t kind, channel;
	uint16_t size;
} __attribute__((packed));

enum frame_kind {
	/* control, from the guest */
	FRAME_HELLO = 1,    /* uint32: FRAME_VERSION */
	FRAME_APP = 2,	    /* channel: app; struct frame_app */
	FRAME_APP_EXIT = 3, /* channel: app; uint8: its final status */
	FRAME_POD = 4,	    /* uint8: 0 starting, 1 running, 2 stopping, 3 ended */
	FRAME_RESULT = 5,   /* uint8: the pod's status */
	FRAME_FAILURE = 6,  /* text, at most 1024 bytes */
	/* control, to the guest */
	FRAME_STOP = 32,
	/* streams and enter */
	FRAME_OUT = 64, /* bytes; none: end of file */
	FRAME_ERR = 65,
	FRAME_IN = 66,
	FRAME_RESIZE = 67, /* uint16 rows, uint16 columns */
	/* enter */
	FRAME_OPEN = 96,  /* uint8 app, uint8 terminal (0 or 1), uint16 rows, uint16 columns */
	FRAME_FILE = 97,  /* name, NUL, piece of its content; pieces of one file follow each other */
	FRAME_START = 98, /* all files are there */
	FRAME_SIGNAL = 99, /* uint8: number */
	FRAME_EXIT = 100,  /* uint8: status, last frame of a session */
};

struct frame_app {
	uint8_t phase;	/* 0 waiting, 1 pre-start, 2 running, 3 post-stop, 4 restarting, 5 ended */
	uint8_t during; /* whose status: 0 nothing has ended, 1 pre-start, 2 main, 3 post-stop */
	uint8_t exit_status, signal;
	uint32_t restarts;
	uint32_t pid; /* in the guest */
	uint64_t oom_kills;
} __attribute__((packed));

#endif
