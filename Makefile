# SPDX-License-Identifier: GPL-2.0
#
# What a person types. The module itself is described by Kbuild, which is all
# that `make -C /path/to/kernel M=$PWD` reads.

toolchain := scripts/toolchain
jobs = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

# ARCH is the kernel's word, and reaches Kbuild; FLAVOUR names a kernel for it.
ifeq ($(ARCH),arm64)
FLAVOUR ?= arm64
override FLAVOUR := $(FLAVOUR:debug=debug-arm64)
export FLAVOUR
endif

ifndef KDIR
# Debian's stock kernel, or a debug kernel, in the Debian root.
setup := toolchain
# The shell asks for paths: $(shell) does not see variables of the command line.
# Its argument is a folder below, if it is not for nvme_rs.ko.
kbuild = $(toolchain) exec make --no-print-directory \
	-C $$($(toolchain) path kdir) M=$$(dirname $$($(toolchain) path module))$(1) \
	$$($(toolchain) flags) $(jobs)
# The usual module is made in this folder, others in copies of it.
plain := $(if $(filter n,$(NVME_RS_INLINE)),-plain)
ifneq ($(filter-out amd64,$(FLAVOUR))$(plain),)
copy := copy
folder := build/$(or $(FLAVOUR),amd64)$(plain)
endif
else ifdef TOOLCHAIN
# A kernel of one's own, built with the Debian root's compilers.
setup := toolchain
kbuild = NVME_RS_BIND=$(realpath $(KDIR)):$(realpath $(KDIR)/source) \
	$(toolchain) exec make --no-print-directory -C $(realpath $(KDIR)) \
	M=$(CURDIR) $(jobs)
else
# A kernel of one's own, with this machine's compilers.
setup :=
kbuild = $(MAKE) -C $(KDIR) M=$(CURDIR) $(jobs)
endif

.PHONY: all modules
all: modules guest-modules
modules: $(setup) $(copy)
	+@$(kbuild) modules

# What the tests load into a debug kernel's guest beside it.
.PHONY: guest-modules
guest-modules: modules
ifneq ($(if $(KDIR),,$(filter debug%,$(FLAVOUR))),)
	+@$(call kbuild,/qemu/modules) modules
endif

# The controller that the tests program.
.PHONY: device device-crates
device: device-crates
	@scripts/device build --quiet --release --locked --offline
device-crates: toolchain
	@scripts/device fetch --quiet --locked

# The same as a part of the kernel's source.
.PHONY: in-tree
in-tree: toolchain
	+@scripts/in-tree

.PHONY: copy
copy: $(setup)
	@$(toolchain) exec scripts/copy-sources $(folder)

.PHONY: toolchain
toolchain:
	@$(toolchain) setup --quiet

# Without a toolchain nothing was built, so do not set one up.
.PHONY: clean
clean:
	@rm -rf rust-project.json build/in-tree
ifdef copy
	@rm -rf $(folder)
else
	+@[ -n "$(KDIR)" ] || $(toolchain) path kdir > /dev/null 2>&1 || exit 0; \
	$(kbuild) clean
endif

# The paths are the Debian root's; an editor runs outside it.
.PHONY: rust-analyzer
rust-analyzer: $(setup)
	+@$(kbuild) rust-analyzer
ifneq ($(setup),)
	@sed -i 's|"/usr\([/"]\)|"'$$($(toolchain) path root)'/usr\1|' rust-project.json
endif

.PHONY: check
check: device-crates
	@scripts/check $(CHECKS)

.PHONY: run
run: modules
	@qemu/run $(RUN)

.PHONY: test
test: guest-modules device
	@qemu/test $(TESTS)

# The same tests, on a kernel that watches for what the stock one overlooks.
.PHONY: test-debug
test-debug:
	+@$(MAKE) --no-print-directory test FLAVOUR=debug

# A guest with Debian on a disk, made once.
.PHONY: debian
debian: toolchain
	@$(toolchain) debian

# The commands of the administrator's guide, in that guest.
.PHONY: test-guide
test-guide: modules debian
	@qemu/test debian/test_guide.py $(TESTS)

# The module as whoever has no build root builds it, in a Debian that is made for it.
.PHONY: test-plain
test-plain: toolchain
	@module=$$(scripts/plain-build) && NVME_RS_MODULE=$$module qemu/test tests/data/test_data.py

# blktests, with the kernel's own driver and with ours.
.PHONY: blktests
blktests: modules debian
	@[ -e "$(BLKTESTS)/check" ] || \
		{ echo 'which clone of blktests? make blktests BLKTESTS=FOLDER' >&2; exit 2; }
	@NVME_RS_BIND=$(realpath $(BLKTESTS)) qemu/blktests $(realpath $(BLKTESTS)) $(TESTS)

# Hours of use; goes on where it was interrupted.
.PHONY: soak
soak: modules
	@qemu/soak $(SOAK)

# Everything at once, by a seed.
.PHONY: torture
torture: modules
	@qemu/torture $(TORTURE)

# A controller that lies, by seed.
.PHONY: hostile
hostile: modules device
	@qemu/hostile $(HOSTILE)

# Beside the kernel's own driver.
.PHONY: bench
bench: modules
	@qemu/bench $(BENCH)

# In which functions the instructions of an I/O are.
.PHONY: profile
profile: modules
	@qemu/profile $(PROFILE)

# What would be sent to the kernel's lists; CHECK=1 builds it, patch by patch.
.PHONY: patches
patches: $(setup)
	@scripts/patches $(if $(CHECK),--check)

.PHONY: help
help:
	@echo 'make                 build nvme_rs.ko for the stock kernel'
	@echo 'make in-tree         build it as drivers/nvme/rs of the kernel'"'"'s source'
	@echo 'make run             boot a guest, use four VFs; RUN="arguments of qemu/run"'
	@echo 'make device          build the controller that tests program'
	@echo 'make test            all tests; TESTS="-k sriov" for some'
	@echo 'make test-debug      the same on a kernel with sanitizers; the first time builds it'
	@echo 'make test-guide      the commands of the administrator'"'"'s guide, in a Debian guest'
	@echo 'make test-plain      the module as Documentation/build.rst builds it without the build root'
	@echo 'make blktests        blktests with both drivers; BLKTESTS=FOLDER is a clone of it'
	@echo 'make soak            hours of use, resumed if interrupted; SOAK="arguments of qemu/soak"'
	@echo 'make hostile         an hour with a controller that lies; HOSTILE="arguments of qemu/hostile"'
	@echo 'make torture         an hour of everything at once; TORTURE="arguments of qemu/torture"'
	@echo 'make bench           compare costs with the C driver; BENCH="arguments of qemu/bench"'
	@echo 'make profile         the driver'"'"'s instructions by function; PROFILE="arguments of qemu/profile"'
	@echo 'make check           format, lint, documentation; CHECKS="clippy unsafe" for some'
	@echo 'make patches         the series for the kernel; CHECK=1 to build each, too'
	@echo 'make rust-analyzer   rust-project.json for editors'
	@echo 'make clean           remove what was built here'
	@echo
	@echo 'KDIR=/path/to/kernel   build for that kernel with this machine'"'"'s compilers'
	@echo 'TOOLCHAIN=1            ... with those of the Debian root'
	@echo 'NVME_RS_INLINE=n       call C'"'"'s inline functions, do not inline them'
	@echo 'ARCH=arm64             for arm64, and in its guests'
	@echo 'FLAVOUR=cloud-amd64    another stock kernel; FLAVOUR=debug the one with sanitizers'
	@echo
	@$(toolchain) help
