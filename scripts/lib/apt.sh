# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# The host's packages, and the archive as the host's apt sees it.

# What setup runs on the host. kmod: depmod on the stock modules; zstd: the stock image.
host_packages=(mmdebstrap bubblewrap debian-archive-keyring xz-utils zstd kmod)
[ "$EUID" -eq 0 ] || host_packages+=(uidmap)

archive_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

missing_host_packages()
{
	local p

	for p in "${host_packages[@]}"; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2> /dev/null)" = installed ] ||
			printf '%s\n' "$p"
	done
	# One from before trixie is installed, but too old.
	[ -e /usr/share/keyrings/debian-archive-trixie-automatic.gpg ] ||
		printf 'debian-archive-keyring\n'
}

# What a user other than root makes the Debian root in.
need_namespaces()
{
	local user

	user=$(id -un)
	unshare --user true 2> /dev/null ||
		die "$user may not make user namespaces here; root can run it"
	grep -q "^$user:" /etc/subuid && grep -q "^$user:" /etc/subgid ||
		die "$user has no sub-uids; as root: usermod" \
			"--add-subuids 100000-165535 --add-subgids 100000-165535 $user"
}

install_host_packages()
{
	local log=$CACHE/log/host.log missing

	command -v apt-get > /dev/null ||
		die "needs a Debian machine: there is no apt-get"
	[ "$(dpkg --print-architecture)" = amd64 ] ||
		die "needs an amd64 machine: this is $(dpkg --print-architecture)"
	[ "$EUID" -eq 0 ] || need_namespaces
	mapfile -t missing < <(missing_host_packages | sort -u)
	[ "${#missing[@]}" -gt 0 ] || return 0
	[ "$EUID" -eq 0 ] ||
		die "not root, so please install: ${missing[*]}"
	say "[1/$step_count] host packages: ${missing[*]} ..."
	mkdir -p "$CACHE/log"
	{
		apt-get update &&
		DEBIAN_FRONTEND=noninteractive \
			apt-get install -y --no-install-recommends "${missing[@]}"
	} > "$log" 2>&1 < /dev/null || {
		tail -n 30 "$log" >&2
		die "installing host packages failed, see $log"
	}
	say "[1/$step_count] host packages $SECONDS s"
}

# Print the URIs of the binary entries with component "main" and a plain release
# as suite, from one-line (*.list) and deb822 (*.sources) files.
archive_uris()
{
	local f

	for f in "$@"; do
		[ -r "$f" ] || continue
		case $f in
		*.list)
			sed -n 's/^deb[[:space:]]\+\(\[[^]]*\][[:space:]]*\)\?/ /p' "$f" |
				awk '$2 !~ /[-\/]/ && / main( |$)/ { print $1 }'
			;;
		*.sources)
			awk 'BEGIN { RS = ""; FS = "\n" }
			{
				split("", v)
				for (i = 1; i <= NF; i++) {
					if ($i ~ /^#/)
						continue
					if (match($i, /^[A-Za-z-]+:/)) {
						name = tolower(substr($i, 1, RLENGTH - 1))
						$i = substr($i, RLENGTH + 1)
					}
					v[name] = v[name] " " $i " "
				}
				if (v["enabled"] ~ /no/ || v["types"] !~ / deb / ||
				    v["components"] !~ / main /)
					next
				plain = 0
				n = split(v["suites"], suites, /[ \t]+/)
				for (i = 1; i <= n; i++)
					plain += suites[i] ~ /^[a-z]+$/
				if (plain && split(v["uris"], uris, /[ \t]+/) > 1)
					print uris[2]
			}' "$f"
			;;
		esac
	done
}

# The URI of the Debian archive that this machine uses.
mirror()
{
	local etc=/etc/apt uris uri

	if [ -n "${NVME_RS_MIRROR:-}" ]; then
		printf '%s\n' "$NVME_RS_MIRROR"
		return
	fi
	uris=$(archive_uris $etc/sources.list $etc/sources.list.d/debian.sources \
		$etc/sources.list.d/* | grep -v '^cdrom:') || true
	# Other vendors have a "main" too; Debian's archive is called "debian".
	uri=$(grep -E '/debian/?$|^mirror\+file:' <<< "$uris" | head -n 1) ||
		uri=$(head -n 1 <<< "$uris")
	case $uri in
	mirror+file:*)	# as in Debian's cloud images
		uri=$(grep -m 1 -oE '^[a-z+]+://[^[:space:]]+' "${uri#mirror+file:}") || true
		;;
	esac
	[ -n "$uri" ] ||
		die "no Debian archive in $etc/sources.list*: set NVME_RS_MIRROR"
	printf '%s\n' "${uri%/}"
}

# The host's settings that decide whether the archive can be reached and is
# accepted: proxies, certificates, dates (a snapshot's are old).
apt_settings()
{
	apt-config dump --no-empty Acquire |
		grep -E '^Acquire::(https?|Check-Valid-Until|Check-Date|Retries|ForceIPv[46])\b' ||
		true
	printf 'Acquire::Languages "none";\n'
}

# An apt of our own for kernel packages: host binaries, private lists, no host
# hooks. It needs no root and does not wait for ours to be installed.
kernel_apt()
{
	local name=$1
	shift

	APT_CONFIG=$CACHE/apt-$(architecture)/apt.conf "$name" -q "$@"
}

update_kernel_apt()
{
	local d uri
	d=$CACHE/apt-$(architecture)

	uri=$(mirror) || return
	mkdir -p "$d/state/lists/partial" "$d/cache/archives/partial"
	: > "$d/status"
	printf '%s [signed-by=%s] %s %s main\n' \
		deb "$archive_keyring" "$uri" "$SUITE-backports" \
		deb-src "$archive_keyring" "$uri" "$SUITE" > "$d/sources.list"
	{
		printf 'Dir::Etc::Main "/dev/null";\nDir::Etc::Parts "/dev/null";\n'
		printf 'Dir::Etc::SourceList "%s/sources.list";\n' "$d"
		printf 'Dir::Etc::SourceParts "/dev/null";\n'
		printf 'Dir::Etc::Preferences "/dev/null";\n'
		printf 'Dir::Etc::PreferencesParts "/dev/null";\n'
		printf 'Dir::State "%s/state";\nDir::State::Status "%s/status";\n' "$d" "$d"
		printf 'Dir::Cache "%s/cache";\n' "$d"
		printf 'APT::Architecture "%s";\nAPT::Architectures "%s";\n' \
			"$(architecture)" "$(architecture)"
		printf 'APT::Sandbox::User "root";\n'
		apt_settings
	} > "$d/apt.conf"
	kernel_apt apt-get -o APT::Update::Error-Mode=any update
}
