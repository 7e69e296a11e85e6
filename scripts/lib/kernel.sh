# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2164
#
# The stock kernel: image, modules, configuration, exported symbols.

# Print "ABI VERSION" of the newest kernel of the series that the archive has.
newest_kernel()
{
	local prefix=linux-headers- abi version

	abi=$(kernel_apt apt-cache pkgnames "$prefix$KERNEL_SERIES" |
		sed "s/^$prefix//" |
		grep -E "^${KERNEL_SERIES//./\\.}\.[0-9]+\+deb13[^-]*-$FLAVOUR\$" |
		sort -V | tail -n 1) ||
		die "the archive has no $prefix$KERNEL_SERIES.*+deb13-$FLAVOUR"
	version=$(kernel_apt apt-cache show --no-all-versions "$prefix$abi" |
		sed -n 's/^Version: //p')
	kernel_apt apt-cache madison "linux-source-$KERNEL_SERIES" |
		grep -qF " $version " ||
		die "$prefix$abi is $version, but the archive has no" \
			"linux-source-$KERNEL_SERIES of that version; try again later"
	printf '%s %s\n' "$abi" "$version"
}

make_kernel()
{
	local dir=$1 abi=$2 deb

	cd "$dir"
	kernel_apt apt-get download "linux-binary-$abi" "linux-modules-$abi" \
		"linux-headers-$abi"
	for deb in *.deb; do
		dpkg-deb -x "$deb" .
		rm "$deb"
	done
	/sbin/depmod -b usr "$abi"
}
