# SPDX-License-Identifier: GPL-2.0-only
# Plinth. `make` builds the core, the worker and, for the kernel that KDIR names, the module.
#   make [KVER=release] [KDIR=headers] [DEBUG=1: with fault injection, in build/debug]
#   make install [DESTDIR=root]    make unit    make fmt-check    make clean
#   make lab-tests DESTDIR=root    what tests/lab needs in the lab machine beside an installed Plinth
KVER  ?= $(shell uname -r)
KDIR  ?= /lib/modules/$(KVER)/build
DEBUG ?= 0
BUILD := build$(if $(filter 1,$(DEBUG)),/debug)
MOD   := $(BUILD)/module-$(KVER)
GUEST := build/guest-modules-$(KVER)

all: core worker module guest

core:
	@$(MAKE) --no-print-directory -C core DEBUG=$(DEBUG) BUILD=$(BUILD)

worker:
	@$(MAKE) --no-print-directory -C worker

# The module is built on a copy of what it needs, so that several kernels' builds live side by side
# and the tree stays clean.
module: core
	@mkdir -p $(MOD)/root $(MOD)/core/x86 $(MOD)/include/plinth
	@cp -pu root/*.c root/*.h root/*.S root/Kbuild $(MOD)/root/
	@cp -pu core/x86/paging.c core/x86/paging.h $(MOD)/core/x86/
	@cp -pu include/plinth/*.h $(MOD)/include/plinth/
	@id=$$(readelf -n $(BUILD)/core.elf | sed -n 's/.*Build ID: //p'); \
	 echo "#define PLINTH_CORE_BUILD_ID \"$$id\"" > $(MOD)/core_build_id.h.new; \
	 cmp -s $(MOD)/core_build_id.h.new $(MOD)/root/core_build_id.h || \
	 cp $(MOD)/core_build_id.h.new $(MOD)/root/core_build_id.h
	@$(MAKE) --no-print-directory -C $(KDIR) M=$(CURDIR)/$(MOD)/root \
		PLINTH_DEBUG=$(if $(filter 1,$(DEBUG)),y,n) modules

# What a child's Linux loads, the same way.
guest:
	@mkdir -p $(GUEST)/include/plinth
	@cp -pu guest/bimodal/*.c guest/bimodal/*.h guest/bimodal/Kbuild $(GUEST)/
	@cp -pu include/plinth/bimodal.h $(GUEST)/include/plinth/
	@$(MAKE) --no-print-directory -C $(KDIR) M=$(CURDIR)/$(GUEST) modules

install: all
	install -D -m 755 build/plinth $(DESTDIR)/usr/sbin/plinth
	install -D -m 644 $(BUILD)/core.elf $(DESTDIR)/lib/firmware/plinth/core.elf
	install -D -m 644 $(MOD)/root/plinth.ko $(DESTDIR)/lib/modules/$(KVER)/extra/plinth.ko
	install -D -m 644 $(GUEST)/plinth_bimodal.ko $(DESTDIR)/lib/modules/$(KVER)/extra/plinth_bimodal.ko
	[ ! -f root/65-plinth.rules ] || \
		install -D -m 644 root/65-plinth.rules $(DESTDIR)/lib/udev/rules.d/65-plinth.rules
	[ ! -f docs/plinth.8 ] || install -D -m 644 docs/plinth.8 $(DESTDIR)/usr/share/man/man8/plinth.8
	[ -n "$(DESTDIR)" ] || depmod $(KVER)

unit:
	@$(MAKE) --no-print-directory -C tests/unit check

# Programs and modules of the lab tests, and a build with fault injection beside the installed one.
TESTS_DIR = $(DESTDIR)/usr/lib/plinth-tests
lab-tests: all
	@$(MAKE) --no-print-directory -C tests/lab/guest KVER=$(KVER) KDIR=$(KDIR)
	@$(MAKE) --no-print-directory core module DEBUG=1
	install -D -t $(TESTS_DIR) $(patsubst tests/lab/guest/%.c,build/guest/%,$(wildcard tests/lab/guest/*.c))
	install -D -m 644 -t $(TESTS_DIR)/debug build/debug/core.elf build/debug/module-$(KVER)/root/plinth.ko
	install -D -m 644 -t $(DESTDIR)/lib/modules/$(KVER)/extra build/guest/modules-$(KVER)/*.ko

SOURCES = $(shell git ls-files '*.c' '*.h')
fmt-check:
	clang-format --dry-run -Werror $(SOURCES)

clean:
	rm -rf build/core build/core.elf build/plinth build/worker build/unit build/module-* build/debug build/guest build/guest-modules-*

.PHONY: all core worker module guest install lab-tests unit fmt-check clean
