# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The Debian root with compilers, QEMU and test tools.

make_root()
{
	local dir=$1 uri packages options
	uri=$(mirror)
	packages=$(sed -e '/^#/d' -e '/^$/d' "$TOP/scripts/packages" | paste -sd,)
	options=$(mktemp)
	chmod 644 "$options"	# a sub-uid reads it
	apt_settings > "$options"

	set -- --variant=apt --architectures=amd64 --include="$packages" \
		--aptopt="$options" \
		--aptopt='APT::Install-Recommends "false"' \
		--dpkgopt=force-unsafe-io \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		"$SUITE"
	if [ "$EUID" -eq 0 ]; then
		mmdebstrap --mode=root "$@" "$dir" - < <(root_sources "$uri")
	else
		# Unpack it ourselves, so that all files are ours, not a sub-uid's.
		mmdebstrap --mode=unshare --format=tar "$@" - - < <(root_sources "$uri") |
			tar -C "$dir" -x --no-same-owner --exclude='./dev/*'
	fi
	rm -f "$options"
	root_versions "$dir" > "$dir/.versions"
}

root_sources()
{
	printf "deb $1 %s main\n" "$SUITE" "$SUITE-updates" "$SUITE-backports"
}

# The tools that what is built in the root depends on.
root_versions()
{
	dpkg-query --admindir="$1/var/lib/dpkg" -W -f '${Package} ${Version}\n' \
		rustc rust-src bindgen libclang1-19 gcc-14 binutils pahole
}
