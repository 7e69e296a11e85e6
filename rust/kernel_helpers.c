// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel crate's C functions, to be inlined (scripts/Makefile.inline). A header
 * among theirs has its users import a namespace, which this module does not use.
 */
#include <linux/module.h>

#undef MODULE_IMPORT_NS
#define MODULE_IMPORT_NS(ns)

#include <helpers/helpers.c>
