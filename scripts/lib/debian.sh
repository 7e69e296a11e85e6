# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The Debian guest: the image of a disk on which Debian is installed with the stock
# kernel, and the initrd that Debian makes for it.

debian_mib=6144

make_debian()
{
	local dir=$1 abi=$2 version=$3 uri packages options
	uri=$(mirror)
	packages=$(sed -e '/^#/d' -e '/^$/d' "$TOP/scripts/debian-packages" | paste -sd,)
	options=$(mktemp)
	chmod 644 "$options"	# a sub-uid reads it
	apt_settings > "$options"

	# As a tarball, which keeps the owners of files whoever unpacks it.
	mmdebstrap --mode="$([ "$EUID" -eq 0 ] && echo root || echo unshare)" --format=tar \
		--variant=apt --architectures=amd64 \
		--include="$packages,linux-base/$SUITE-backports,linux-image-$abi=$version" \
		--aptopt="$options" \
		--aptopt='APT::Install-Recommends "false"' \
		--dpkgopt=force-unsafe-io \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--essential-hook="$TOP/scripts/debian-setup initrd \"\$1\"" \
		--customize-hook="$TOP/scripts/debian-setup system \"\$1\"" \
		"$SUITE" "$dir/debian.tar" - < <(root_sources "$uri")
	rm -f "$options"
	in_own_users bash -euc '
		cd "$1"
		mkdir files
		tar -C files -x --exclude="./dev/*" < debian.tar
		rm debian.tar
		cp "files/boot/initrd.img-$2" initrd
		mke2fs -q -t ext4 -L debian -d files disk "$3M"
		rm -rf files' bash "$dir" "$abi" "$debian_mib"
}

# Run a command that may give files to other users, as far as they are ours.
in_own_users()
{
	if [ "$EUID" -eq 0 ]; then
		"$@"
	else
		unshare --map-root-user --map-auto "$@"
	fi
}
