// SPDX-License-Identifier: GPL-2.0
/*
 * A plugin of QEMU's that counts how often the guest executes each instruction of its kernel, and
 * how many instructions of programs.
 *
 * usage: -plugin executions.so,socket=PATH
 *
 * Whoever connects to the socket is sent what was counted so far: addresses and their counts in
 * turn, of 64 bits each. Address 0 stands for all programs.
 */

#include <linux/types.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "plugin.h"

#define EXPORT __attribute__((visibility("default")))
/* Some 500,000 of a kernel's instructions are executed at least once. */
#define MOST (4 << 20)
#define HASH_BITS 20

static struct qemu_plugin_scoreboard *counts;

/* The instructions; the first entry is for programs. Entries are only added. */
static struct entry {
	__u64 address;
	__u32 next;		/* with the same hash, or 0 */
} entries[MOST];

static __u32 known = 1;
static __u32 first[1 << HASH_BITS];
static pthread_mutex_t adding = PTHREAD_MUTEX_INITIALIZER;

EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static struct qemu_plugin_u64 count(__u32 entry)
{
	return (struct qemu_plugin_u64){ counts, entry * sizeof(__u64) };
}

/* An instruction may be in several blocks, and QEMU translates anew what it has dropped. */
static __u32 entry_of(__u64 address)
{
	__u32 hash = (address * 0x9e3779b97f4a7c15u) >> (64 - HASH_BITS);
	__u32 entry;

	for (entry = first[hash]; entry; entry = entries[entry].next) {
		if (entries[entry].address == address)
			return entry;
	}
	if (known == MOST) {
		fputs("executions: too many instructions\n", stderr);
		abort();
	}
	entry = known;
	entries[entry] = (struct entry){ address, first[hash] };
	first[hash] = entry;
	/* Whoever sees the new number sees the entry. */
	__atomic_store_n(&known, entry + 1, __ATOMIC_RELEASE);
	return entry;
}

static bool is_kernel(__u64 address)
{
	return address >> 63;
}

/*
 * Each instruction is counted, not each block: an access to a device ends a block early, and
 * the rest of it is executed as another block.
 */
static void translated(struct qemu_plugin_tb *block, void *data)
{
	size_t i, size = qemu_plugin_tb_n_insns(block);

	pthread_mutex_lock(&adding);
	for (i = 0; i < size; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
		__u64 address = qemu_plugin_insn_vaddr(insn);
		__u32 entry = is_kernel(address) ? entry_of(address) : 0;

		qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn,
								    QEMU_PLUGIN_INLINE_ADD_U64,
								    count(entry), 1);
	}
	pthread_mutex_unlock(&adding);
}

static void *serve(void *data)
{
	int listener = *(int *)data;

	for (;;) {
		FILE *peer = fdopen(accept(listener, NULL, NULL), "wb");
		__u32 entry, end = __atomic_load_n(&known, __ATOMIC_ACQUIRE);

		if (!peer) {
			perror("executions");
			abort();
		}
		for (entry = 0; entry < end; entry++) {
			__u64 pair[] = {
				entries[entry].address, qemu_plugin_u64_sum(count(entry)),
			};

			fwrite(pair, sizeof(pair), 1, peer);
		}
		fclose(peer);
	}
	return NULL;
}

/* Returns a socket that listens at a path, or -1. */
static int listen_at(const char *path)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t size = sizeof(name.sun_path);

	if ((size_t)snprintf(name.sun_path, size, "%s", path) >= size ||
	    bind(listener, (struct sockaddr *)&name, sizeof(name)) || listen(listener, 1))
		return -1;
	return listener;
}

EXPORT int qemu_plugin_install(__u64 id, const struct qemu_info_t *info, int argc, char **argv)
{
	static const char option[] = "socket=";
	static int listener;
	pthread_t server;

	if (argc != 1 || strncmp(argv[0], option, strlen(option))) {
		fputs("executions: usage: -plugin executions.so,socket=PATH\n", stderr);
		return -1;
	}
	listener = listen_at(argv[0] + strlen(option));
	if (listener < 0) {
		perror("executions");
		return -1;
	}
	counts = qemu_plugin_scoreboard_new(MOST * sizeof(__u64));
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated, NULL);
	return pthread_create(&server, NULL, serve, &listener);
}
