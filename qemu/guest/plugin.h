/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What executions.c uses of QEMU's interface to plugins, version 7. Debian packages no header that
 * has it.
 */

#ifndef PLUGIN_H
#define PLUGIN_H

#include <linux/types.h>
#include <stddef.h>

#define QEMU_PLUGIN_VERSION 7
#define QEMU_PLUGIN_INLINE_ADD_U64 0

struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_scoreboard;
struct qemu_info_t;

/* A number that each CPU has of its own, by its place in the memory that a CPU has. */
struct qemu_plugin_u64 {
	struct qemu_plugin_scoreboard *score;
	size_t offset;
};

/* QEMU reads the one, and calls the other. */
extern int qemu_plugin_version;
int qemu_plugin_install(__u64 id, const struct qemu_info_t *info, int argc, char **argv);

void qemu_plugin_register_vcpu_tb_trans_cb(__u64 id, void (*translated)(struct qemu_plugin_tb *tb,
									void *data), void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
__u64 qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t size);
__u64 qemu_plugin_u64_sum(struct qemu_plugin_u64 number);
void qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(struct qemu_plugin_insn *insn,
							 int operation,
							 struct qemu_plugin_u64 number,
							 __u64 operand);

#endif
