# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The programs of guests of another architecture than the build root's: unpacked, not
# configured, as nothing of them runs here.

guest_packages=busybox-static,e2fsprogs,fio,kexec-tools,nvme-cli,pciutils,qemu-guest-agent,qemu-utils

make_guest()
{
	local dir=$1 uri options
	uri=$(mirror)
	options=$(mktemp)
	chmod 644 "$options"
	apt_settings > "$options"

	# As a tarball, so that all files are ours, not a sub-uid's.
	mmdebstrap --mode="$([ "$EUID" -eq 0 ] && echo root || echo unshare)" --format=tar \
		--variant=extract --architectures="$(architecture)" \
		--include="$guest_packages" --aptopt="$options" \
		--aptopt='APT::Install-Recommends "false"' \
		"$SUITE" - - < <(root_sources "$uri") |
		tar -C "$dir" -x --no-same-owner --exclude='./dev/*' \
			--exclude='./usr/share/*'
	rm -f "$options"
}
