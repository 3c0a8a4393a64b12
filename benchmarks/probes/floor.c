/* The floor: a minimal epoll client. Association, C-ECHO, release; every answer is checked.
 *
 * usage: floor FILE [MOST]     FILE: one "address port" a line. MOST: connections at a time, 256.
 * One line a target on standard output: address, port, and "echo" or what failed. No deadline: it is a floor.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum stage { CONNECTING, ASSOCIATING, ECHOING, RELEASING };
struct target {
    int fd;
    enum stage stage;
    char address[48];
    int port;
    size_t have;
    uint8_t in[4096];
};

static uint8_t request[512], echo[128];
static size_t request_size, echo_size;
static const uint8_t RELEASE[10] = {5, 0, 0, 0, 0, 4};
static int epoll_fd, in_flight;

static uint8_t *put16(uint8_t *p, unsigned v) { p[0] = v >> 8 & 255; p[1] = v & 255; return p + 2; }
static uint8_t *put32(uint8_t *p, uint32_t v) { p = put16(p, v >> 16); return put16(p, v & 65535); }
static uint8_t *item(uint8_t *p, uint8_t kind, const void *value, unsigned n) {
    p[0] = kind; p[1] = 0; put16(p + 2, n); memcpy(p + 4, value, n);
    return p + 4 + n;
}
static uint8_t *element(uint8_t *p, unsigned number, const void *value, unsigned n) {
    uint8_t head[8] = {0, 0, number & 255, number >> 8, n & 255, n >> 8 & 255, 0, 0};
    memcpy(p, head, 8); memcpy(p + 8, value, n);
    return p + 8 + n;
}

static void encode(void) {
    uint8_t *p = request + 6, context[128] = {1, 0, 0, 0}, user[128], most[4], *end;
    p = put16(p, 1); p = put16(p, 0);
    memcpy(p, "ANY-SCP         FLOOR           ", 32); p += 32;
    memset(p, 0, 32); p += 32;
    p = item(p, 0x10, "1.2.840.10008.3.1.1.1", 21);
    end = item(context + 4, 0x30, "1.2.840.10008.1.1", 17);
    end = item(end, 0x40, "1.2.840.10008.1.2", 17);
    p = item(p, 0x20, context, (unsigned)(end - context));
    put32(most, 16384);
    end = item(user, 0x51, most, 4);
    end = item(end, 0x52, "2.25.302145902181", 17);
    p = item(p, 0x50, user, (unsigned)(end - user));
    request[0] = 1; put32(request + 2, (uint32_t)(p - request - 6));
    request_size = (size_t)(p - request);

    uint8_t set[128];
    p = set;
    p = element(p, 0x0002, "1.2.840.10008.1.1\0", 18);
    p = element(p, 0x0100, "\x30\0", 2);
    p = element(p, 0x0110, "\1\0", 2);
    p = element(p, 0x0800, "\1\1", 2);
    uint8_t length[4] = {(uint8_t)(p - set), 0, 0, 0};
    uint8_t *q = element(echo + 12, 0x0000, length, 4);
    memcpy(q, set, (size_t)(p - set)); q += p - set;
    echo[0] = 4; put32(echo + 2, (uint32_t)(q - echo - 6)); put32(echo + 6, (uint32_t)(q - echo - 10));
    echo[10] = 1; echo[11] = 3;
    echo_size = (size_t)(q - echo);
}

static void done(struct target *target, const char *what) {
    printf("%s %d %s\n", target->address, target->port, what);
    close(target->fd); free(target); in_flight--;
}

/* The status (0000,0900) of a C-ECHO-RSP; -1: something else. */
static int echo_status(const uint8_t *pdu, size_t n) {
    int response = 0, status = -1;
    for (size_t at = 12; at + 8 <= n;) {
        unsigned number = pdu[at + 2] | pdu[at + 3] << 8, length = pdu[at + 4] | pdu[at + 5] << 8;
        if (at + 8 + length > n) return -1;
        if (number == 0x0100) response = pdu[at + 8] == 0x30 && pdu[at + 9] == 0x80;
        if (number == 0x0900) status = pdu[at + 8] | pdu[at + 9] << 8;
        at += 8 + length;
    }
    return response ? status : -1;
}

/* The one proposed context (id 1) is accepted. */
static int accepted(const uint8_t *pdu, size_t n) {
    for (size_t at = 74; at + 8 <= n; at += 4 + (size_t)(pdu[at + 2] << 8 | pdu[at + 3]))
        if (pdu[at] == 0x21) return pdu[at + 4] == 1 && pdu[at + 6] == 0;
    return 0;
}

static void go_on(struct target *target) {
    if (target->stage == CONNECTING) {
        int error = 0; socklen_t size = sizeof error;
        getsockopt(target->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) { done(target, strerror(error)); return; }
        if (send(target->fd, request, request_size, MSG_NOSIGNAL) < 0) { done(target, "send"); return; }
        target->stage = ASSOCIATING;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = target};
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, target->fd, &event);
        return;
    }
    ssize_t got = recv(target->fd, target->in + target->have, sizeof target->in - target->have, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) { done(target, "ended"); return; }
    target->have += (size_t)got;
    if (target->have < 6) return;
    const uint8_t *in = target->in;
    size_t n = ((size_t)in[2] << 24 | in[3] << 16 | in[4] << 8 | in[5]) + 6;
    if (n > sizeof target->in) { done(target, "too long"); return; }
    if (target->have < n) return;
    if (target->stage == ASSOCIATING) {
        if (in[0] != 2 || !accepted(in, n)) { done(target, "not accepted"); return; }
        send(target->fd, echo, echo_size, MSG_NOSIGNAL);
    } else if (target->stage == ECHOING) {
        if (in[0] != 4 || echo_status(in, n) != 0) { done(target, "no echo"); return; }
        send(target->fd, RELEASE, sizeof RELEASE, MSG_NOSIGNAL);
    } else {
        done(target, in[0] == 6 ? "echo" : "no release");
        return;
    }
    target->stage++;
    target->have = 0;
}

int main(int count, char **arguments) {
    FILE *file = count > 1 ? fopen(arguments[1], "r") : NULL;
    int most = count > 2 ? atoi(arguments[2]) : 256, more = 1, one = 1;
    if (!file) { perror("floor FILE [MOST]"); return 2; }
    encode();
    epoll_fd = epoll_create1(0);
    struct epoll_event events[512];
    while (more || in_flight) {
        char address[48];
        int port;
        while (more && in_flight < most) {
            if (fscanf(file, "%47s %d", address, &port) != 2) { more = 0; break; }
            struct target *target = calloc(1, sizeof *target);
            struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
            inet_pton(AF_INET, address, &there.sin_addr);
            strcpy(target->address, address); target->port = port;
            target->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
            setsockopt(target->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            in_flight++;
            if (connect(target->fd, (void *)&there, sizeof there) && errno != EINPROGRESS) {
                done(target, strerror(errno));
                continue;
            }
            struct epoll_event event = {.events = EPOLLOUT, .data.ptr = target};
            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, target->fd, &event);
        }
        int ready = epoll_wait(epoll_fd, events, 512, -1);
        for (int i = 0; i < ready; i++) go_on(events[i].data.ptr);
    }
    return 0;
}
