# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2164
#
# liburing's tests of disks, of the version that Debian has.

# Those that take a disk, or a namespace's character device.
liburing_tests=(
	cmd-discard
	d4ae271dfaae
	defer-taskrun
	defer-tw-timeout
	file-verify
	io_uring_passthrough
	iopoll
	iopoll-leak
	iopoll-overflow
	read-write
	sq-poll-dup
	sq-poll-share
	sqwait
	submit-reuse
	thread-exit
)

make_liburing()
{
	local dir=$1 compiler=gcc-14

	[ "$(architecture)" = amd64 ] || compiler=aarch64-linux-gnu-gcc-14
	update_kernel_apt
	cd "$dir"
	kernel_apt apt-get source --download-only liburing
	tar -x --strip-components=1 -f liburing_*.orig.tar.gz
	in_root ./configure --cc="$compiler" --use-libc
	in_root make -C src -j"$(nproc)" CC="$compiler"
	in_root make -C test -j"$(nproc)" CC="$compiler" "${liburing_tests[@]/%/.t}"
}
