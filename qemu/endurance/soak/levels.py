# SPDX-License-Identifier: GPL-2.0
"""What must not grow in a guest, however often the driver does its work."""

from dataclasses import dataclass, field

from guest.machine import Machine
from subject.driver import Driver
from subject.functions import PhysicalFunction

MEMORY = {
    "Available": -4096,
    "Slab": 4096,
    "SUnreclaim": 4096,
    "Percpu": 1024,
    "VmallocUsed": 1024,
}
"""How many KiB of each may be there more, or (negative) less. All but the first are
figures of /proc/meminfo. ``Available`` is its MemAvailable and the free pages on the
CPUs' lists, which are megabytes, and not counted there."""
MAPPINGS = 16
"""How many DMA mappings may be added: pages of the pools come with I/O."""
OBJECTS = 400
"""How many objects a slab cache may gain, besides one for every other cycle."""

# Caches are emptied and shrunk first, and what RCU has put off is done: what is left is in
# use. What that frees may have held what is in a cache, so this is done twice. Kernel threads that
# serve work queues come and go; all others belong to somebody.
_MEASURE = """
sync
for turn in 1 2; do
	echo 1 > /sys/module/rcutree/parameters/do_rcu_barrier
	echo 3 > /proc/sys/vm/drop_caches
done
echo 1 > /sys/module/rcutree/parameters/do_rcu_barrier
for cache in /sys/kernel/slab/*/shrink; do echo 1 > $cache; done
sleep 1
while read -r name value _; do echo "memory ${name%:} $value"; done < /proc/meminfo
awk '/ count:/ { pages += $2 } END { print "memory PerCPULists", 4 * pages }' /proc/zoneinfo
while read -r name active _; do echo "objects $name $active"; done < /proc/slabinfo
echo "objects vmalloc-areas $(grep -vc unpurged /proc/vmallocinfo)"
threads=0
for comm in /proc/[0-9]*/comm; do
	read -r name < $comm && case $name in kworker*) ;; *) threads=$((threads + 1)) ;; esac
done 2> /dev/null
echo "counts threads $threads"
echo "counts interrupts $(grep -c nvme /proc/interrupts)"
for folder in /sys/kernel/irq /sys/bus/pci/devices /sys/class/nvme /sys/block; do
	set -- $folder/*; echo "counts $folder $#"
done
for module in nvme_core $DRIVER; do
	read -r references < /sys/module/$module/refcnt
	echo "counts $module/refcnt $references"
done
dump=/sys/kernel/debug/dma-api/dump
[ ! -e $dump ] || echo "mappings dma $(grep -c nvme $dump)"
"""


@dataclass(frozen=True)
class Levels:
    """What there is of everything while the driver rests."""

    memory: dict[str, int] = field(default_factory=dict)
    """KiB, by the names of /proc/meminfo, and more."""
    objects: dict[str, int] = field(default_factory=dict)
    """Objects in use, by slab cache."""
    counts: dict[str, int] = field(default_factory=dict)
    """Threads, interrupts, devices, references and resources of VFs."""
    mappings: dict[str, int] = field(default_factory=dict)
    """DMA mappings, if the kernel counts them."""


def measure(machine: Machine, driver: Driver, pf: PhysicalFunction) -> Levels:
    """Returns what there is now; the PF is live and has no VFs."""
    said = machine.run(f"DRIVER={driver.name}\n{_MEASURE}", timeout=120).out
    levels = Levels()
    for line in said.splitlines():
        kind, name, value = line.split()
        if value.isdigit():
            getattr(levels, kind)[name] = int(value)
    memory = levels.memory
    memory["Available"] = memory["MemAvailable"] + memory["PerCPULists"]
    # Those of areas that are no more are kept for the next ones, and debug objects are
    # made in stock, hundreds at a time.
    for kept in "vmap_area", "debug_objects_cache":
        levels.objects.pop(kept, None)
    held = pf.secondaries()
    for resource in ("num-virtual-queues", "num-virtual-interrupts"):
        levels.counts[f"VFs' {resource}"] = sum(entry[resource] for entry in held)
    return levels


def grown(start: Levels, end: Levels, cycles: int) -> list[str]:
    """Returns what is not as it was ``cycles`` cycles ago, beyond the tolerance."""
    found = []
    for name, most in MEMORY.items():
        change = end.memory[name] - start.memory[name]
        if change > most if most > 0 else change < most:
            found.append(f"{name}: {change:+} KiB")
    for name, before in start.objects.items():
        change = end.objects.get(name, 0) - before
        if change > OBJECTS + cycles // 2:
            found.append(f"slab cache {name}: {change:+} objects")
    for name in start.mappings:
        change = end.mappings[name] - start.mappings[name]
        if change > MAPPINGS:
            found.append(f"DMA mappings: {change:+}")
    for name in sorted(start.counts | end.counts):
        before, after = start.counts.get(name, 0), end.counts.get(name, 0)
        if before != after:
            found.append(f"{name}: {before}, now {after}")
    return found
