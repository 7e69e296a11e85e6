# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2164
#
# The debug kernel: image, modules, and the tree to build modules against, all in
# the one folder of the build.

make_debug()
{
	local dir=$1 src=$2 abi=$3 config=$TOP/scripts/debug.config

	# KASAN and Rust together need clang.
	set -- in_root make -C "$src" O="$dir" LLVM=1 -j"$(nproc)"
	"$@" KCONFIG_ALLCONFIG="$config" allnoconfig
	took_config "$config" "$dir/.config"
	"$@" bzImage modules
	grep -qF "\"$abi\"" "$dir/include/generated/utsrelease.h" ||
		die "the kernel calls itself $(cut -d' ' -f3 "$dir/include/generated/utsrelease.h"), not $abi"
	"$@" INSTALL_MOD_PATH="$dir/install" modules_install
}

# What another option forbids, or a newer kernel calls otherwise, is dropped
# without a word.
took_config()
{
	local line lost=()

	while IFS= read -r line; do
		case $line in
		CONFIG_*=n) ! grep -q "^${line%=n}=" "$2" ;;
		CONFIG_*) grep -qxF "$line" "$2" ;;
		esac || lost+=("$line")
	done < "$1"
	[ "${#lost[@]}" -eq 0 ] || die "the kernel did not take: ${lost[*]}"
}
