#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The operations of actors in the guest. Each actor sources this file, with its name as
# ACTOR. An operation is a shell function; if it is for one PCI function, it takes the
# address. A result is ok, absent (the file or the device did not exist), or the error.
#
# log.ACTOR has a line for each begin and each end: B or E, uptime, operation, result.
# now.ACTOR has uptime and operation while an operation runs, for the watcher.

# The actors' scripts call the functions, and set the variables.
# shellcheck disable=SC2034,SC2154,SC2317

pci=/sys/bus/pci/devices
drivers=/sys/bus/pci/drivers
driver=nvme_rs
newline='
'

# Sets up to the uptime in seconds.
uptime()
{
	read -r up _ < /proc/uptime
}

# step NAME COMMAND...: measures an operation, which leaves its result in said.
step()
{
	name=$1
	shift
	uptime
	echo "B $up $name" >> "log.$ACTOR"
	echo "$up $name" > "now.$ACTOR"
	said=ok
	"$@"
	uptime
	: > "now.$ACTOR"
	echo "E $up $name $said" >> "log.$ACTOR"
}

# Waits between two operations, unless the round ends.
pause()
{
	uptime
	[ "${up%.*}" -ge "$END" ] || sleep "$1"
}

# Returns whether the round is over.
over()
{
	uptime
	[ "${up%.*}" -ge "$END" ]
}

# Sets said to the first line of a command's errors, without the command's name.
last_words()
{
	said=${said%%"$newline"*}
	said=${said##*: }
	said=${said:-failed}
}

# put VALUE FILE: writes a file of sysfs.
put()
{
	if [ ! -e "$2" ]; then
		said=absent
		return 1
	fi
	if said=$( (echo "$1" > "$2") 2>&1); then
		said=ok
	else
		last_words
		# The file has disappeared between the check and the write.
		[ -e "$2" ] || said=absent
		return 1
	fi
}

# try COMMAND...: runs a program.
try()
{
	if said=$("$@" 2>&1 > /dev/null); then
		said=ok
	else
		last_words
		return 1
	fi
}

# Sets controller to the name of nvme-core's controller of a function.
controller_of()
{
	controller=
	for path in "$pci/$1"/nvme/nvme*; do
		[ -e "$path/state" ] && controller=${path##*/}
	done
	[ "$controller" ] || said=absent
	[ "$controller" ]
}

# Sets vf to the address of a VF, by its number.
vf_of()
{
	vf=$(readlink "$pci/$1/virtfn$2")
	vf=${vf##*/}
	if [ ! "$vf" ] || [ ! -e "$pci/$vf" ]; then
		said=absent
		return 1
	fi
}

# function_of ADDRESS VF: sets function to a VF of a PF, or to the PF if VF is -.
function_of()
{
	function=$1
	[ "$2" = - ] && return
	vf_of "$1" "$2" && function=$vf
}

enable()
{
	put "$2" "$pci/$1/sriov_numvfs"
}

# setting ADDRESS VF NAME VALUE
setting()
{
	put "$4" "$pci/$1/nvme_sriov/vf$2/$3"
}

# Reads all attributes of VFs.
read_all()
{
	if [ ! -d "$pci/$1/nvme_sriov" ]; then
		said=absent
		return
	fi
	said=$( (cd "$pci/$1/nvme_sriov" && cat queues/* interrupts/* vf*/*) 2>&1 > /dev/null |
		tail -n 1)
	[ ! "$said" ] || last_words
	[ -d "$pci/$1/nvme_sriov" ] || said=absent
	said=${said:-ok}
}

# ask ADDRESS COMMAND...: runs an nvme-cli command for the controller.
ask()
{
	controller_of "$1" || return
	shift
	try nvme "$@" "/dev/$controller" && return
	# nvme-cli prints the kernel's error, or the controller's status, or just a failure.
	[ -e "/sys/class/nvme/$controller" ] || said=absent
}

reset_controller()
{
	function_of "$1" "$2" || return
	controller_of "$function" || return
	put 1 "/sys/class/nvme/$controller/reset_controller"
}

reset_function()
{
	function_of "$1" "$2" && put 1 "$pci/$function/reset"
}

# reset_bus ADDRESS: resets the bus below the port.
reset_bus()
{
	put 1 "$pci/$1/reset_subordinate"
}

unbind()
{
	function_of "$1" "$2" || return
	put "$function" "$pci/$function/driver/unbind"
}

bind()
{
	function_of "$1" "$2" || return
	if [ -e "$pci/$function/driver" ]; then
		said=absent
		return
	fi
	put "$function" "$drivers/$driver/bind"
}

remove()
{
	function_of "$1" "$2" && put 1 "$pci/$function/remove"
}

rescan()
{
	put 1 /sys/bus/pci/rescan
}

unload()
{
	[ -d "/sys/module/$driver" ] || { said=absent; return; }
	try rmmod "$driver"
}

# load [PARAMETER]...
load()
{
	[ ! -d "/sys/module/$driver" ] || { said=absent; return; }
	try insmod "$MODULE" "$@"
}

# Suspends all devices but the CPUs. subject/sleep.py says why the agent is restarted.
sleep_devices()
{
	port=$(realpath /sys/bus/virtio/drivers/virtio_console/virtio*/..)
	port=${port##*/}
	echo devices > /sys/power/pm_test
	echo "$port" > $drivers/virtio-pci/unbind
	put freeze /sys/power/state
	slept=$said
	echo "$port" > $drivers/virtio-pci/bind
	# There may be no agent: it ends when it finds no port, and init starts it again.
	for agent in $(pidof qemu-ga); do
		kill -9 "$agent"
		while kill -0 "$agent" 2> /dev/null; do sleep 0.05; done
	done
	echo none > /sys/power/pm_test
	said=$slept
}

# cpu NUMBER 0|1
cpu()
{
	put "$2" "/sys/devices/system/cpu/cpu$1/online"
}

# fault RULE: makes the driver simulate a fault.
fault()
{
	put "$1" /sys/kernel/debug/$driver/command
}

# Unbinds a VF from its driver, and binds it to vfio-pci.
take_vf()
{
	vf_of "$1" "$2" || return
	put vfio-pci "$pci/$vf/driver_override" || return
	[ ! -e "$pci/$vf/driver" ] || put "$vf" "$pci/$vf/driver/unbind" || return
	put "$vf" $drivers/vfio-pci/bind
}

# Binds a VF that vfio-pci has to its own driver again.
give_vf()
{
	vf_of "$1" "$2" || return
	[ -e "$drivers/vfio-pci/$vf" ] || { said=absent; return; }
	put "$vf" $drivers/vfio-pci/unbind
	taken=$said
	put '' "$pci/$vf/driver_override" || return
	put "$vf" $drivers/$driver/bind
	[ "$taken" = ok ] || said=$taken
}

# Verifies data on all disks at once. Each disk has a line in the log: F, uptime,
# NSID, disk, and the errno with which its job ended.
use_disks()
{
	set --
	for disk in /sys/block/nvme*n*; do
		{ read -r size < "$disk/size" && read -r nsid < "$disk/nsid"; } || continue
		disk=${disk##*/}
		if [ "$size" != 0 ] && [ -b "/dev/$disk" ]; then
			set -- "$@" "--name=$nsid/$disk" "--filename=/dev/$disk"
		fi
	done 2> /dev/null
	if [ $# = 0 ]; then
		said=absent
		sleep 0.2
		return
	fi
	fio --thread --ioengine=io_uring --direct=1 --rw=randwrite --bs=4k --size=256k \
		--iodepth=8 --verify=crc32c --verify_fatal=1 --allow_file_create=0 \
		--output-format=json "$@" > "fio.$ACTOR" 2>> "fio.err.$ACTOR"
	status=$?
	uptime
	sed -n 's/^ *"jobname" : "\(.*\)",$/\1/p; s/^ *"error" : \([0-9]*\),$/\1/p' "fio.$ACTOR" |
		while read -r job && read -r error; do
			echo "F $up $job $error"
		done >> "log.$ACTOR"
	[ $status = 0 ] || said="status $status"
}
