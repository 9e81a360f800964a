#ifndef HOLDFAST_FRAMES_H
#define HOLDFAST_FRAMES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * What keeper (host) and guest say to each other over virtio-serial ports: a header, then `size` bytes. Numbers are
 * little-endian. stage1/flavours/kvm/README.md says which kinds go where. Neither believes the other beyond these bounds.
 */
enum { FRAME_VERSION = 1, FRAME_HEADER_BYTES = 4, FRAME_MAX_BYTES = 16384, FRAME_ENTER_PORTS = 4 };

/*
 * Most bytes of IN that may be on their way to one program and not yet told of by TAKEN. The guest has room for them, so
 * that it reads its ports at all times: no STOP, SIGNAL or RESIZE waits behind input that a program does not read.
 */
enum { FRAME_INPUT_WINDOW = 65536 };

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
	FRAME_OFF = 33, /* RESULT and the end of all streams have come: nothing is lost by powering off */
	/* streams and enter */
	FRAME_OUT = 64, /* bytes; none: end of file */
	FRAME_ERR = 65,
	FRAME_IN = 66,
	FRAME_RESIZE = 67, /* uint16 rows, uint16 columns; for the pod's own terminal on control */
	FRAME_TAKEN = 68,  /* from the guest: uint32, so many more bytes of IN have been taken */
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

struct frame {
	uint8_t kind, channel;
	uint16_t size;
	const unsigned char *payload; /* in the reader, until frames_fill() is called again */
};

/* Both are without pointers into themselves and start as zeros. */
struct frame_reader {
	size_t start, end;
	unsigned char bytes[2 * (FRAME_HEADER_BYTES + FRAME_MAX_BYTES)];
};

struct frame_writer {
	size_t start, end;
	unsigned char bytes[4 * (FRAME_HEADER_BYTES + FRAME_MAX_BYTES)];
};

/*
 * One read(2) of the nonblocking `fd`, returned as read(2) does: 0 is end of file, -1 with EAGAIN that nothing is there.
 * -1 with ENOBUFS where the reader is full: frames_next() comes first.
 */
ssize_t frames_fill(struct frame_reader *reader, int fd);

/* Takes the next whole frame. Returns 1, 0 where there is none yet, -1 where what comes next claims to be too long. */
int frames_next(struct frame_reader *reader, struct frame *frame);

/* Payload that one frame may have for frames_put() to take it; 0 where not even an empty one has room. */
size_t frames_room(const struct frame_writer *writer);

/* Queues a frame whole or, with -1 and ENOBUFS, not at all. */
int frames_put(struct frame_writer *writer, enum frame_kind kind, uint8_t channel, const void *payload, size_t size);

/* Writes to the nonblocking `fd` what it takes. Returns 1 where something is left, 0 where nothing is, -1 with errno. */
int frames_flush(struct frame_writer *writer, int fd);

#endif
