#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Rounds in the guest, at the same time: guest.sh DRIVER OTHER ADDRESS... Each binds the driver
# to a controller that lies, at ADDRESS, uses it, and unbinds it. The disk OTHER, of another
# controller, is read all the time.
#
# Prints a line for each step: the address (or "beside"), the step's name, its begin and its end,
# and what came of it.

driver=/sys/bus/pci/drivers/$1
other=$2
shift 2

# step NAME COMMAND...: measures a command. What comes of it is its exit status.
step()
{
	name=$1
	shift
	read -r began _ < /proc/uptime
	"$@" > /dev/null 2>&1
	said=$?
	read -r ended _ < /proc/uptime
	echo "$address $name $began $ended $said"
}

# Sets controller and disk. Prints the controller's state, if there is one.
look()
{
	controller=
	disk=
	for path in "$pci"/nvme/nvme*; do
		[ -e "$path/state" ] && controller=${path##*/}
	done
	[ "$controller" ] || return
	for path in "$pci/nvme/$controller"/nvme*n*; do
		[ -e "$path/size" ] && [ -b "/dev/${path##*/}" ] && disk=/dev/${path##*/}
	done
	read -r state < "$pci/nvme/$controller/state"
	echo "$address state 0 0 $state"
}

bind()
{
	echo "$address" > "$driver/bind"
}

unbind()
{
	[ ! -e "$pci/driver" ] || echo "$address" > "$pci/driver/unbind"
}

# The round of a controller.
round()
{
	address=$1
	pci=/sys/bus/pci/devices/$address
	step bind bind
	look
	if [ "$controller" ]; then
		# The scan for namespaces may be on its way.
		[ "$disk" ] || sleep 0.5
		look > /dev/null
		step identify nvme id-ctrl "/dev/$controller"
		step log nvme smart-log "/dev/$controller"
		if [ "$disk" ]; then
			step read dd if="$disk" of=/dev/null bs=4k count=64 iflag=direct
			[ ! -b "$disk" ] || step write dd if=/dev/zero of="$disk" bs=128k count=4 oflag=direct
		fi
		step rescan sh -c "echo 1 > $pci/nvme/$controller/rescan_controller"
		step reset sh -c "echo 1 > $pci/nvme/$controller/reset_controller"
		look
		[ ! "$disk" ] || step again dd if="$disk" of=/dev/null bs=4k count=16 iflag=direct
	fi
	step unbind unbind
}

# Reads the other disk until the file "over" is there.
beside()
{
	address=beside
	while [ ! -e /run/over ]; do
		step read dd if="$other" of=/dev/null bs=4k count=1 iflag=direct
		sleep 0.2
	done
}

rm -f /run/over
beside > /run/beside &
beside=$!
rounds=
for address; do
	round "$address" > "/run/round.$address" &
	rounds="$rounds $!"
done
# shellcheck disable=SC2086
wait $rounds
touch /run/over
wait "$beside"
cat /run/beside
for address; do
	cat "/run/round.$address"
done
