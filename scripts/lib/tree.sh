# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The tree that modules are built against: an ordinary O= tree with the Rust
# metadata that Debian's header packages lack.

make_tree()
{
	local dir=$1 src=$2 kernel=$3 abi=$4
	local headers=$kernel/usr/src/linux-headers-$abi

	cp "$headers/.config" "$dir"
	# ABI without the upstream version, which the Makefile has already.
	# shellcheck disable=SC2046
	in_root make -C "$src" O="$dir" -j"$(nproc)" $(stock_flags) HOSTCC=gcc-14 \
		LOCALVERSION="${abi/#+([0-9.])/}" olddefconfig modules_prepare
	cp "$headers/Module.symvers" "$dir"
	grep -qF "\"$abi\"" "$dir/include/generated/utsrelease.h" ||
		die "the tree calls itself $(cut -d' ' -f3 "$dir/include/generated/utsrelease.h"), not $abi"
	prove_symbols "$dir"
	[ "$(architecture)" = amd64 ] || return 0
	# QEMU starts this file by its PVH note, without the image's decompressor, which takes
	# two seconds where the CPU is emulated. kbuild would use a file named vmlinux.
	"$src/scripts/extract-vmlinux" "$kernel/usr/lib/modules/$abi/vmlinuz" > "$dir/vmlinux.pvh"
}

# The compiler with which Debian builds the kernel.
stock_flags()
{
	case $(architecture) in
	arm64) printf 'ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- CC=aarch64-linux-gnu-gcc-14\n' ;;
	*) printf 'CC=x86_64-linux-gnu-gcc-14\n' ;;
	esac
}

# A Rust symbol's name has a hash of its crate in it. The stock kernel was made
# by the same compilers from the same source and configuration if, and only if,
# its exports have the names that ours have. Modules are then interchangeable.
prove_symbols()
{
	local dir=$1 ours theirs differ

	ours=$(grep -ohP '\(\K(_R|rust_helper_)\w+' "$dir"/rust/exports_*_generated.h | sort -u)
	theirs=$(grep -oP '\t\K(_R|rust_helper_)\w+(?=\t)' "$dir/Module.symvers" | sort -u)
	differ=$(diff <(printf '%s\n' "$ours") <(printf '%s\n' "$theirs") | grep '^[<>]') || true
	if [ -n "$differ" ] || [ -z "$ours" ]; then
		printf '%s\n' \
			"The Rust symbols differ from the stock kernel's (< ours, > the stock kernel's)," \
			"so a module built here would not load there. $(wc -l <<< "$differ") differ:"
		head -n 6 <<< "$differ"
		exit 1
	fi
	printf 'all %d exported Rust symbols equal\n' "$(wc -l <<< "$ours")"
}
