# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Messages, keys, and steps.

die()
{
	printf 'toolchain: %s\n' "$*" >&2
	exit 1
}

say()
{
	printf '%s\n' "$*" >&2
}

# key FILE... -- STRING...: hash of the files' text and the strings. Comments and
# blank lines do not count: editing them must not rebuild anything.
key()
{
	local files=()

	while [ "$1" != -- ]; do
		files+=("$1")
		shift
	done
	{
		sed -e '/^[[:space:]]*#/d' -e '/^[[:space:]]*$/d' "${files[@]}"
		printf '%s\n' "$@"
	} | sha256sum | cut -c1-12
}

# A folder counts once its stamp is there, and the stamp is made last.
ready()
{
	[ -e "$1/.done" ]
}

declare -A step_title=() step_log=() step_began=()
step_count=5

# begin [--resume] NUMBER TITLE DIR COMMAND...: make DIR with COMMAND in the
# background, in a process group of its own so that stop_steps() reaches all of it.
begin()
{
	local resume=no
	[ "$1" != --resume ] || { resume=yes; shift; }
	local number=$1 title=$2 dir=$3
	local log=$CACHE/log/${dir##*/}.log
	shift 3

	# Left by an interrupted run. Never cross into something mounted there.
	if [ -e "$dir" ] && [ $resume = no ]; then
		rm -rf --one-file-system "$dir"
	fi
	mkdir -p "$dir" "$CACHE/log"
	say "[$number/$step_count] $title ..."
	set -m
	(
		set -e
		"$@"
		touch "$dir/.done"
	) > "$log" 2>&1 < /dev/null &
	set +m
	step_title[$!]="[$number/$step_count] $title"
	step_log[$!]=$log
	step_began[$!]=$SECONDS
}

# Wait for all steps that run, reporting each as it ends. The first failure stops
# everything.
finish()
{
	local pid rc

	while [ "${#step_title[@]}" -gt 0 ]; do
		rc=0
		wait -n -p pid "${!step_title[@]}" || rc=$?
		if [ "$rc" -ne 0 ]; then
			say "${step_title[$pid]} FAILED. The end of ${step_log[$pid]}:"
			tail -n 30 "${step_log[$pid]}" >&2
			exit 1
		fi
		say "${step_title[$pid]} $((SECONDS - step_began[$pid])) s"
		unset "step_title[$pid]"
	done
}

# On any exit: leave no step running behind us.
stop_steps()
{
	local pid

	for pid in "${!step_title[@]}"; do
		kill -TERM -- "-$pid" 2> /dev/null || true
	done
}
