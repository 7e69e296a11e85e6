#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# usage: vm.sh INITRAMFS NSID
#
# Makes the initramfs of a virtual machine, from what Debian has: the in-tree driver. Its only
# process writes a mark to the namespace NSID, and reads another block of it each second. It
# prints the time of each read.

set -eu
stage=$(mktemp -d)
mkdir "$stage/bin" "$stage/dev" "$stage/proc" "$stage/sys"
cp /usr/bin/busybox "$stage/bin"
# In the order in which they are to be loaded.
modprobe --show-depends nvme | while read -r _ path _; do
	name=$(basename "$path" .xz)
	xz -dc "$path" > "$stage/$name"
	echo "insmod /$name" >> "$stage/load"
done
cat > "$stage/init" << END
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
. /load
echo vm: loaded
until name=\$(grep -lsx $2 /sys/class/nvme/nvme*/nvme*n*/nsid); do usleep 100000; done
name=\$(basename \${name%/nsid} | sed 's/c[0-9]*//')
until [ -b /dev/\$name ]; do usleep 100000; done
echo vm: mark > /mark
dd if=/mark of=/dev/\$name bs=4096 conv=sync,fsync 2> /dev/null
block=1
while dd if=/dev/\$name of=/dev/null bs=4096 count=1 skip=\$block iflag=direct 2> /dev/null; do
	read -r now _ < /proc/uptime
	echo "vm: read at \$now"
	block=\$((block + 1))
	sleep 1
done
echo vm: the read failed
END
chmod +x "$stage/init"
cd "$stage"
find . | cpio --create --quiet --format=newc > "$1"
rm -r "$stage"
