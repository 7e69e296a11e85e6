# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2164
#
# The debug kernel: image, modules, and the tree to build modules against, all in
# the one folder of the build.

make_debug()
{
	local dir=$1 src=$2 abi=$3 config=$1/fragments

	debug_configs | xargs cat > "$config"
	# shellcheck disable=SC2046
	set -- in_root make -C "$src" O="$dir" $(debug_flags) -j"$(nproc)"
	"$@" KCONFIG_ALLCONFIG="$config" allnoconfig
	took_config "$config" "$dir/.config"
	"$@" "$(basename "$(debug_image)")" modules
	grep -qF "\"$abi\"" "$dir/include/generated/utsrelease.h" ||
		die "the kernel calls itself $(cut -d' ' -f3 "$dir/include/generated/utsrelease.h"), not $abi"
	"$@" INSTALL_MOD_PATH="$dir/install" modules_install
}

# The fragments of its configuration.
debug_configs()
{
	printf '%s\n' "$TOP/scripts/debug.config" "$TOP/scripts/debug-$(architecture).config"
}

# KASAN and Rust together need clang.
debug_flags()
{
	case $(architecture) in
	arm64) printf 'ARCH=arm64 LLVM=1\n' ;;
	*) printf 'LLVM=1\n' ;;
	esac
}

# The image, by its path in the build's folder.
debug_image()
{
	case $(architecture) in
	arm64) printf 'arch/arm64/boot/Image\n' ;;
	*) printf 'arch/x86/boot/bzImage\n' ;;
	esac
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
