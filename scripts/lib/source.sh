# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2164
#
# The kernel source with Debian's patches.

make_source()
{
	local dir=$1 version=$2

	cd "$dir"
	kernel_apt apt-get download "linux-source-$KERNEL_SERIES=$version"
	dpkg-deb --fsys-tarfile linux-source-*.deb |
		tar -xO "./usr/src/linux-source-$KERNEL_SERIES.tar.xz" |
		tar -xJ --strip-components=1
	rm linux-source-*.deb
	# nvme-core's interface to its transports is not in the header packages.
	test -e drivers/nvme/host/nvme.h
}
