# SPDX-License-Identifier: GPL-2.0
"""The resource levels of a guest, which must not grow from cycle to cycle."""

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
"""The tolerated change in KiB: the most that a level may rise or, if negative, fall. All
levels but the first are those of /proc/meminfo. ``Available`` is MemAvailable plus the
free pages on the CPUs' lists, which are megabytes that MemAvailable does not include."""
MAPPINGS = 16
"""The most DMA mappings that may be added: DMA pools get more pages with I/O."""
OBJECTS = 400
"""The most objects that a slab cache may gain, plus one for every other cycle."""

# First the RCU callbacks run, and caches are dropped and shrunk, so that only memory in use
# is left. Objects that are freed in the first turn may have held cached ones, so there are
# two turns. Kernel threads of work queues come and go, and are not counted.
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
    """The resource levels while the driver is idle."""

    memory: dict[str, int] = field(default_factory=dict)
    """KiB, by the names of /proc/meminfo, and more."""
    objects: dict[str, int] = field(default_factory=dict)
    """Objects in use, by slab cache."""
    counts: dict[str, int] = field(default_factory=dict)
    """Threads, interrupts, devices, references and resources of VFs."""
    mappings: dict[str, int] = field(default_factory=dict)
    """DMA mappings, if the kernel counts them."""


def measure(machine: Machine, driver: Driver, pf: PhysicalFunction) -> Levels:
    """Returns the present levels. The PF must be live and have no VFs."""
    said = machine.run(f"DRIVER={driver.name}\n{_MEASURE}", timeout=120).out
    levels = Levels()
    for line in said.splitlines():
        kind, name, value = line.split()
        if value.isdigit():
            getattr(levels, kind)[name] = int(value)
    memory = levels.memory
    memory["Available"] = memory["MemAvailable"] + memory["PerCPULists"]
    # The kernel keeps vmap_areas of freed areas for later ones, and allocates debug
    # objects in stock, hundreds at a time.
    for kept in "vmap_area", "debug_objects_cache":
        levels.objects.pop(kept, None)
    held = pf.secondaries()
    for resource in ("num-virtual-queues", "num-virtual-interrupts"):
        levels.counts[f"VFs' {resource}"] = sum(entry[resource] for entry in held)
    return levels


def grown(start: Levels, end: Levels, cycles: int) -> list[str]:
    """Returns a line for each level that has changed beyond its tolerance in ``cycles``
    cycles."""
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
