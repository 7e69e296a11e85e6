#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# usage: watch.sh BLOCKED LIMIT
#
# Reports to the kernel log the tasks that are blocked (state D) for BLOCKED seconds without
# a context switch, and the operations that take more than LIMIT seconds. Ends when the file
# "over" appears.

blocked=$1
limit=$2

say()
{
	echo "torture: $*" > /dev/kmsg
}

# tell PID SECONDS: reports a blocked task with its stack.
tell()
{
	read -r comm < "/proc/$1/comm"
	say "blocked: $1 $comm $(cat "/proc/$1/wchan") $2 s"
	while read -r line; do
		say "  $line"
	done < "/proc/$1/stack"
}

# Sets switches to the context switches of a task. If they have changed, it is not stuck.
switches_of()
{
	switches=0
	while read -r field count _; do
		case $field in
		*ctxt_switches:) switches=$((switches + count)) ;;
		esac
	done < "/proc/$1/status"
}

# The seconds that this script has watched. It does not run while the devices are suspended.
watched=0
read -r last _ < /proc/uptime
last=${last%.*}

while [ ! -e over ]; do
	read -r now _ < /proc/uptime
	now=${now%.*}
	passed=$((now - last))
	last=$now
	watched=$((watched + (passed > 2 ? 2 : passed)))
	stuck=$(sed -n 's/^\([0-9]*\) (.*) D .*/\1/p' /proc/[0-9]*/task/[0-9]*/stat)
	for pid in $stuck; do
		switches_of "$pid"
		before='' since=$watched told=''
		eval "before=\${switches_$pid:-} since=\${since_$pid:-$watched} told=\${told_$pid:-}"
		if [ "$before" != "$switches" ]; then
			eval "switches_$pid=$switches since_$pid=$watched told_$pid="
		elif [ $((watched - since)) -ge "$blocked" ] && [ ! "$told" ]; then
			eval "told_$pid=1"
			tell "$pid" $((watched - since))
		fi
	done
	for file in now.*; do
		read -r begin name < "$file" || continue
		passed=$((now - ${begin%.*}))
		if [ "$passed" -ge "$limit" ] && [ ! -e "overdue.$file" ]; then
			: > "overdue.$file"
			say "overdue: ${file#now.}: $name, $passed s"
			echo w > /proc/sysrq-trigger
		fi
	done
	sleep 1
done 2> /dev/null
