# SPDX-License-Identifier: GPL-2.0
"""The same scripts under nvme_rs and the kernel's own driver have the same outcome."""

from guest.machine import Machine
from subject.driver import Driver
from subject.pairs import both

ADMINISTRATION = {
    "list": "nvme list; nvme list -v",
    "subsystems": "nvme list-subsys; nvme show-topology",
    "identify": "nvme id-ctrl $C; nvme id-ns $D; nvme ns-descs $D; nvme nvm-id-ctrl $C;"
                " nvme nvm-id-ns $D; nvme cmdset-ind-id-ns $D; nvme id-iocs $C",
    "lists": "nvme list-ns $C --all; nvme list-ctrl $C; nvme list-ctrl $C -n 1;"
             " nvme get-ns-id $D; nvme primary-ctrl-caps $C; nvme list-secondary $C",
    "logs": "nvme error-log $C; nvme fw-log $C; nvme effects-log $C;"
            " nvme changed-ns-list-log $C; nvme ana-log $C; nvme sanitize-log $C;"
            " nvme supported-log-pages $C",
    "smart-log": "nvme smart-log $C",
    "features": "for f in $(seq 1 13) $(seq 15 31) $(seq 126 131); do"
                " nvme get-feature $C -f $f; nvme get-feature $C -f $f -n 1 -s 3; done",
    "set-feature": "nvme set-feature $C -f 4 -V 350; nvme get-feature $C -f 4;"
                   " nvme set-feature $C -f 4 -V 343; nvme set-feature $C -f 6 -V 0;"
                   " nvme get-feature $C -f 6; nvme set-feature $C -f 6 -V 1;"
                   " nvme set-feature $C -f 7 -V 0x10001;"
                   " nvme set-feature $C -f 0xee -V 1",
    "registers": "nvme show-regs $C; nvme show-regs $C -H;"
                 " nvme get-reg $C --offset=0x1c",
    "properties": "nvme get-property $C --offset=0x1c;"
                  " nvme set-property $C --offset=0x14 --value=0",
    "admin-passthru": "nvme admin-passthru $C --opcode=6 --cdw10=1 -l 4096 -r -b |"
                      " md5sum; nvme admin-passthru $C --opcode=0x7f;"
                      " nvme admin-passthru $C --opcode=8",
    "refused": "nvme id-ns $C -n 77; nvme get-log $C -i 0x77 -l 512;"
               " nvme create-ns $C -s 8 -c 8; nvme delete-ns $C -n 77;"
               " nvme fw-commit $C -s 1 -a 1; nvme device-self-test $C -s 1;"
               " nvme security-recv $C -p 1 -x 8;"
               " nvme virt-mgmt $C -c 0xffff -a 9; nvme resv-report $D",
    "reset": "nvme reset $C; nvme ns-rescan $C",
}
"""Commands to the controller $C and its namespace $D."""

INPUT_AND_OUTPUT = {
    "data": "seq 1 9999 | head -c 8192 > /run/in",
    "write": "nvme write $D -s 8 -c 15 -z 8192 -d /run/in",
    "read": "nvme read $D -s 8 -c 15 -z 8192 -d /run/out; cmp /run/in /run/out",
    "generic": "nvme read $G -s 8 -c 15 -z 8192 -d /run/out; cmp /run/in /run/out",
    "compare": "nvme compare $D -s 8 -c 15 -z 8192 -d /run/in;"
               " nvme compare $D -s 9 -c 15 -z 8192 -d /run/in",
    "copy": "nvme copy $D -d 64 -s 8 -b 15;"
            " nvme compare $D -s 64 -c 15 -z 8192 -d /run/in",
    "verify": "nvme verify $D -s 8 -c 15; nvme verify $D -s 0xffffffff -c 15",
    "write-zeroes": "nvme write-zeroes $D -s 64 -c 15;"
                    " nvme read $D -s 64 -c 15 -z 8192 | tr -d '\\0'",
    "dsm": "nvme dsm $D -d 1 -s 8,64 -b 8,8; nvme dsm $D -d 1 -s 0xffffffff -b 8",
    "flush": "nvme flush $D; nvme flush $C -n 0xffffffff",
    "io-passthru": "nvme io-passthru $D --opcode=1 -n 1 --cdw10=8 --cdw12=15 -l 8192 -w"
                   " -i /run/in; nvme io-passthru $D --opcode=2 -n 1 --cdw10=8 --cdw12=15"
                   " -l 8192 -r -b | cmp - /run/in",
    "wrong": "nvme io-passthru $D --opcode=0x7f -n 1; nvme io-passthru $D --opcode=2 -n 9"
             " --cdw10=8 --cdw12=15 -l 8192 -r -b;"
             " nvme read $D -s 0xffffffff -c 0 -z 512;"
             " nvme read $D -s 0 -c 15 -z 512; nvme read $D -s 0 -c 8191 -z 4194304",
    "other": "nvme get-lba-status $D -s 0 -m 8 -a 0x10; nvme write-uncor $D -s 8 -c 1",
    "format": "block=/sys/block/${D#/dev/}/queue/logical_block_size;"
              " nvme format $D -f -l 4; cat $block;"
              " nvme format $D -f -l 0; cat $block;"
              " nvme format $D -f -l 63",
}
"""Commands to the namespace: $D, and its character device $G."""

SYSFS = {
    "controller": "cd -P /sys/class/nvme/${C#/dev/} && list . ! -path './nvme*/*/*'",
    "path": "cd -P /sys/class/nvme/${C#/dev/}/nvme*n1 && list .",
    "disk": "cd -P /sys/block/${D#/dev/} && list .",
    "subsystem": "cd -P /sys/class/nvme-subsystem/nvme-subsys0 &&"
                 " list . ! -path './*/*/*'",
    "function": "cd -P /sys/class/nvme/${C#/dev/}/device &&"
                " list ./* -prune ! -name resource0 ! -name config",
    "module": "cd /sys/module/$M && list ./parameters",
    "queues": "cd /sys/kernel/debug/block && grep . */state */hctx*/flags"
              " */hctx*/type */hctx*/ctx_map",
    "names": "grep -o 'nvme[0-9]*q.*' /proc/interrupts;"
             " stat -c '%n %A %t %T' /dev/nvme* /dev/ng*",
}
"""Names, permissions and values of the files that find finds in a folder."""

ENGINES = """
[global]
direct=1
rw=randwrite
bs=4k
size=512k
iodepth=16
verify=crc32c
verify_fatal=1
allow_file_create=0
"""
"""The options that all jobs of JOBS have in common."""
DISK = "filename=${D}"
GENERIC = "filename=${G} ioengine=io_uring_cmd cmd_type=nvme direct=0"
JOBS = (
    f"{DISK} ioengine=io_uring",
    f"{DISK} ioengine=io_uring fixedbufs=1 registerfiles=1",
    f"{DISK} ioengine=io_uring sqthread_poll=1",
    f"{DISK} ioengine=io_uring hipri=1",
    f"{DISK} ioengine=io_uring hipri=1 fixedbufs=1",
    GENERIC,
    f"{GENERIC} fixedbufs=1",
    f"{GENERIC} hipri=1",
    f"{GENERIC} hipri=1 fixedbufs=1",
    f"{DISK} ioengine=libaio",
    f"{DISK} ioengine=sync",
    f"{DISK} ioengine=psync direct=0 fsync=16",
    f"{DISK} ioengine=pvsync2 hipri=1",
)
"""fio's engines for a disk $D, or its character device $G."""


def test_administration(machine: Machine, unloaded: Driver) -> None:
    machine.run("mkdir -p /etc/nvme && nvme gen-hostnqn > /etc/nvme/hostnqn")
    said = both(machine, ADMINISTRATION)
    for part in "list", "subsystems", "identify", "smart-log", "reset":
        assert said[part][-1] == "status 0", said[part]


def test_io(machine: Machine, unloaded: Driver) -> None:
    said = both(machine, INPUT_AND_OUTPUT)
    for part in ("write", "read", "generic", "copy", "write-zeroes", "dsm",
                 "io-passthru"):
        assert said[part][-1] == "status 0", said[part]


def test_sysfs(machine: Machine, unloaded: Driver) -> None:
    said = both(machine, SYSFS, "poll_queues=1")
    assert "./queue/io_poll:1" in said["disk"]
    assert "./transport:pcie" in said["controller"]


def test_engines(machine: Machine, unloaded: Driver) -> None:
    """Each of fio's engines writes data, and verifies it."""
    jobs = ENGINES + "".join(
        f"\n[{number}]\noffset={number}m\n" + job.replace(" ", "\n")
        for number, job in enumerate(JOBS, 1))
    machine.put("/run/jobs", jobs.encode())
    said = both(machine, {
        "fio": "export D G; fio --output-format=json /run/jobs 2> /run/err |"
               r""" grep -E '"(jobname|error|io_bytes|total_ios)"'""",
    }, "poll_queues=2")["fio"]
    assert [line for line in said if '"error"' in line] == (
        ['      "error" : 0,'] * len(JOBS)), said
    assert len([line for line in said if '"io_bytes" : 524288' in line]) == (
        2 * len(JOBS)), said
