/* A fast, honest DICOM verification SCP for the benchmark: one thread, epoll, every 127.0.0.0/8 address.
 *
 * usage: responder PORT...      prints "ready" once it listens, ends at SIGTERM or when its standard input ends.
 *
 * It answers what was asked, from what was asked (PS3.8 9.3): each presentation context of the A-ASSOCIATE-RQ has its
 * own result, accepted only for Verification; the C-ECHO-RSP carries the message id of its request; A-RELEASE-RQ is
 * answered with A-RELEASE-RP; anything else is answered with A-ABORT.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CAP 32768
#define EVENTS 1024

struct peer {
    int fd;
    int associated;
    uint8_t echo_context;
    size_t have;
    uint8_t in[CAP];
};

static const char VERIFICATION[] = "1.2.840.10008.1.1";
static const char IMPLICIT_LE[] = "1.2.840.10008.1.2";
static const char APPLICATION[] = "1.2.840.10008.3.1.1.1";
static const char IMPLEMENTATION[] = "2.25.302145902180";

static uint32_t be32(const uint8_t *p) { return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]; }
static uint16_t be16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static uint8_t *put16(uint8_t *p, uint16_t v) { p[0] = v >> 8; p[1] = v & 255; return p + 2; }
static uint8_t *put32(uint8_t *p, uint32_t v) { p = put16(p, v >> 16); return put16(p, v & 65535); }
static uint8_t *item(uint8_t *p, uint8_t kind, const void *value, uint16_t n) {
    p[0] = kind; p[1] = 0; put16(p + 2, n); memcpy(p + 4, value, n);
    return p + 4 + n;
}
/* PS3.7 6.3.1: group 0000, Implicit VR Little Endian */
static uint8_t *element(uint8_t *p, uint16_t number, const void *value, uint32_t n) {
    uint8_t head[8] = {0, 0, number & 255, number >> 8, n & 255, n >> 8 & 255, 0, 0};
    memcpy(p, head, 8); memcpy(p + 8, value, n);
    return p + 8 + n;
}

static int is_verification(const uint8_t *context, size_t n) {
    for (size_t at = 4; at + 4 <= n; at += 4 + be16(context + at + 2)) {
        size_t length = be16(context + at + 2);
        if (at + 4 + length > n) return 0;
        if (context[at] == 0x30) {
            while (length && context[at + 3 + length] == 0) length--;
            return length == strlen(VERIFICATION) && !memcmp(context + at + 4, VERIFICATION, length);
        }
    }
    return 0;
}

/* PS3.8 9.3.3; 0: malformed */
static size_t accept_pdu(struct peer *peer, const uint8_t *pdu, size_t n, uint8_t *out) {
    if (n < 74) return 0;
    uint8_t *p = out + 6;
    p = put16(p, 1); p = put16(p, 0);
    memcpy(p, pdu + 10, 64); p += 64; /* titles and reserved bytes as they came */
    p = item(p, 0x10, APPLICATION, sizeof APPLICATION - 1);
    for (size_t at = 74; at + 4 <= n; at += 4 + be16(pdu + at + 2)) {
        size_t length = be16(pdu + at + 2);
        if (at + 4 + length > n) return 0;
        if (pdu[at] != 0x20 || length < 4) continue;
        const uint8_t *context = pdu + at + 4;
        int ours = is_verification(context, length);
        if (ours) peer->echo_context = context[0];
        uint8_t value[64] = {context[0], 0, ours ? 0 : 3, 0};
        uint8_t *end = item(value + 4, 0x40, IMPLICIT_LE, sizeof IMPLICIT_LE - 1);
        p = item(p, 0x21, value, (uint16_t)(end - value));
    }
    uint8_t user[128], most[4], *end = user;
    put32(most, 16384);
    end = item(end, 0x51, most, 4);
    end = item(end, 0x52, IMPLEMENTATION, sizeof IMPLEMENTATION - 1);
    end = item(end, 0x55, "BENCH_RESPONDER", 15);
    p = item(p, 0x50, user, (uint16_t)(end - user));
    out[0] = 2; out[1] = 0; put32(out + 2, (uint32_t)(p - out - 6));
    peer->associated = 1;
    return (size_t)(p - out);
}

/* PS3.7 9.3.5.2; 0: not a C-ECHO-RQ in its context */
static size_t echo_pdu(struct peer *peer, const uint8_t *pdu, size_t n, uint8_t *out) {
    if (!peer->associated || n < 12 || be32(pdu + 6) + 10 != n || pdu[10] != peer->echo_context || pdu[11] != 3) return 0;
    const uint8_t *command = NULL, *message_id = NULL;
    for (size_t at = 12; at + 8 <= n;) {
        uint16_t number = pdu[at + 2] | pdu[at + 3] << 8;
        uint32_t length = pdu[at + 4] | pdu[at + 5] << 8 | (uint32_t)pdu[at + 6] << 16 | (uint32_t)pdu[at + 7] << 24;
        if (length > n - at - 8) return 0;
        if (number == 0x0100 && length == 2) command = pdu + at + 8;
        if (number == 0x0110 && length == 2) message_id = pdu + at + 8;
        at += 8 + length;
    }
    if (!command || !message_id || command[0] != 0x30 || command[1] != 0) return 0;
    uint8_t set[128], *p = set;
    p = element(p, 0x0002, "1.2.840.10008.1.1\0", 18);
    p = element(p, 0x0100, "\x30\x80", 2);
    p = element(p, 0x0120, message_id, 2);
    p = element(p, 0x0800, "\x01\x01", 2);
    p = element(p, 0x0900, "\0\0", 2);
    uint8_t group_length[4] = {(uint8_t)(p - set), 0, 0, 0};
    uint8_t *q = element(out + 12, 0x0000, group_length, 4);
    memcpy(q, set, (size_t)(p - set)); q += p - set;
    out[0] = 4; out[1] = 0; put32(out + 2, (uint32_t)(q - out - 6));
    put32(out + 6, (uint32_t)(q - out - 10)); out[10] = peer->echo_context; out[11] = 3;
    return (size_t)(q - out);
}

static void hang_up(struct peer *peer) { close(peer->fd); free(peer); }

static void serve(struct peer *peer) {
    static uint8_t out[CAP];
    ssize_t got = recv(peer->fd, peer->in + peer->have, CAP - peer->have, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) { hang_up(peer); return; }
    peer->have += (size_t)got;
    while (peer->have >= 6) {
        size_t n = (size_t)be32(peer->in + 2) + 6, made = 0;
        if (n > CAP) { hang_up(peer); return; }
        if (peer->have < n) return;
        if (peer->in[0] == 1) made = accept_pdu(peer, peer->in, n, out);
        else if (peer->in[0] == 4) made = echo_pdu(peer, peer->in, n, out);
        else if (peer->in[0] == 5 && peer->associated) { memcpy(out, "\6\0\0\0\0\4\0\0\0\0", 10); made = 10; }
        if (!made) { (void)!send(peer->fd, "\7\0\0\0\0\4\0\0\2\2", 10, MSG_NOSIGNAL); hang_up(peer); return; }
        if (send(peer->fd, out, made, MSG_NOSIGNAL) != (ssize_t)made) { hang_up(peer); return; }
        peer->have -= n;
        memmove(peer->in, peer->in + n, peer->have);
    }
}

int main(int count, char **arguments) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files); files.rlim_cur = files.rlim_max; setrlimit(RLIMIT_NOFILE, &files);
    int epoll = epoll_create1(0), listeners[64], some = 0;
    for (int i = 1; i < count && some < 64; i++) {
        struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[i]))};
        int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3)) { perror("lo"); return 1; } /* nobody else's business */
        if (bind(fd, (void *)&here, sizeof here) || listen(fd, 65535)) { perror(arguments[i]); return 1; }
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)(some + 1)};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
        listeners[some++] = fd;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0}; /* standard input: whoever started us is gone */
    epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &event);
    puts("ready"); fflush(stdout);
    struct epoll_event events[EVENTS];
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.u64 == 0) { char byte; if (read(0, &byte, 1) <= 0) return 0; continue; }
            if (events[i].data.u64 > 64) { serve(events[i].data.ptr); continue; }
            int fd, one = 1;
            while ((fd = accept4(listeners[events[i].data.u64 - 1], NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                struct peer *peer = malloc(sizeof *peer); /* its pages are touched only as far as bytes come */
                peer->fd = fd; peer->associated = 0; peer->echo_context = 0; peer->have = 0;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                struct epoll_event more = {.events = EPOLLIN, .data.ptr = peer};
                epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &more);
            }
        }
    }
}
