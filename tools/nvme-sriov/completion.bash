# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Completion of nvme-sriov, for bash.

_nvme_sriov_devices()
{
	local folder address

	for folder in /sys/bus/pci/devices/*/sriov_totalvfs; do
		folder=${folder%/sriov_totalvfs}
		[[ $(cat "$folder/class" 2> /dev/null) == 0x010802 ]] || continue
		address=${folder##*/}
		# Bash breaks words at colons, and the name of the controller has none.
		if [[ -d $folder/nvme ]]; then
			basename -a "$folder"/nvme/*
		else
			echo "$address"
		fi
	done
}

_nvme_sriov_complete()
{
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
}

_nvme_sriov()
{
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local command=${COMP_WORDS[1]} options=--help

	if ((COMP_CWORD == 1)); then
		_nvme_sriov_complete "list set enable disable apply save top doctor --help" "$current"
		return
	fi
	case $previous in
	-f | --file)
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		return
		;;
	-o | --output-format)
		_nvme_sriov_complete "normal json" "$current"
		return
		;;
	-d | --delay | -n | --iterations)
		[[ $command != top ]] || return
		;;
	vf | queues | interrupts)
		return
		;;
	namespaces)
		_nvme_sriov_complete none "$current"
		return
		;;
	driver)
		_nvme_sriov_complete "none default nvme_rs nvme vfio-pci" "$current"
		return
		;;
	esac
	case $command in
	list | doctor) options+=" --json --output-format" ;;
	top) options+=" --json --output-format --delay --iterations" ;;
	set | enable | disable) options+=" --force" ;;
	apply) options+=" --file --dry-run --force" ;;
	save) options+=" --file --serial" ;;
	esac
	if [[ $current == -* ]]; then
		_nvme_sriov_complete "$options" "$current"
	elif [[ $command == set ]] && ((COMP_CWORD == 3)); then
		_nvme_sriov_complete vf "$current"
	elif [[ $command == set ]] && ((COMP_CWORD > 4)); then
		_nvme_sriov_complete "queues interrupts namespaces driver" "$current"
	elif [[ $command == enable || $command == disable ]] && ((COMP_CWORD > 2)); then
		return
	else
		_nvme_sriov_complete "$(_nvme_sriov_devices)" "$current"
	fi
}

complete -F _nvme_sriov nvme-sriov
