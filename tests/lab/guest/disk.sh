#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# In a child: what test_bimodal_disk.py has it do with disks that change hands. disk.sh CYCLES

ide=/sys/bus/pci/devices/0000:00:01.1
SIZES="8 9 10" # MiB, by which the disks are known

fail() {
	echo "failed: $*"
	dmesg | tail -n 40
	exit 1
}

load() { # FILE: the modules that it lists
	for m in $(cat /disk/$1); do
		insmod /disk/$m || fail insmod $m
	done
}

driver() {
	basename $(readlink $ide/driver || echo none)
}

at() { # MIB: the disk of that size
	for size in $(grep -lx $(($1 * 2048)) /sys/block/[sv]d*/size); do
		basename ${size%/size}
	done
}

# Until the kernel has found them all: ata_piix looks for them in the background.
wait_for_disks() {
	for mib in $SIZES; do
		tries=0
		until [ -n "$(at $mib)" ]; do
			tries=$((tries + 1))
			[ $tries -gt 1200 ] && fail no disk of $mib MiB
			usleep 50000
		done
	done
}

read_all() { # DRIVE...: one after the other, again and again, until one is gone
	while :; do
		for name; do
			dd if=/dev/$name of=/dev/null bs=64k iflag=direct 2>/dev/null || return
		done
	done
}

# One phase of the disks' lives: what was written last is there, more is written. Meanwhile, and when they go, they are read.
phase() {
	wait_for_disks
	read_all $(for mib in $SIZES; do at $mib; done) &
	for mib in $SIZES; do
		disk=/dev/$(at $mib)
		if [ -f /was$mib ]; then
			dd if=$disk bs=64k count=8 iflag=direct 2>/dev/null | cmp - /was$mib || fail "$disk has changed"
		fi
		dd if=/dev/urandom of=/was$mib bs=64k count=8 2>/dev/null
		dd if=/was$mib of=$disk bs=64k conv=fsync oflag=direct 2>/dev/null || fail "writing $disk"
	done
	echo "phase $(driver) $(for mib in $SIZES; do at $mib; done | tr '\n' ' ')$([ -d /sys/block/sr0 ] && echo cd)"
}

load common
insmod /disk/plinth_bimodal.ko handshake=1 || fail insmod
phase
grep plinth_bimodal_disk /proc/interrupts
for mib in $SIZES; do
	q=/sys/block/$(at $mib)
	echo "queues $(ls $q/mq | wc -l) $(cat $q/queue/write_cache) $(cat $q/queue/discard_max_bytes) $(cat $q/serial)"
done
if [ -f /sys/power/pm_test ]; then
	echo 0 >/sys/module/suspend/parameters/pm_test_delay
	echo devices >/sys/power/pm_test && echo freeze >/sys/power/state || fail "it does not sleep"
	phase
fi
load ata
[ "$(driver)" = plinth_bimodal_disk ] || fail "ata_piix took the function"
for i in $(seq $1); do
	rmmod plinth_bimodal || fail rmmod
	phase
	if [ $i = 1 ]; then
		insmod /disk/plinth_bimodal.ko || fail insmod
		dmesg | grep 'load this module'
		phase
		rmmod plinth_bimodal || fail rmmod
	fi
	echo ${ide##*/} >$ide/driver/unbind || fail unbind
	insmod /disk/plinth_bimodal.ko handshake=1 || fail insmod
	phase
done
echo "switched $((2 * $1)) times, $(cut -d' ' -f1 /proc/uptime) s"
for mib in $SIZES; do
	disk=$(at $mib)
	blkdiscard -o $((4 << 20)) -l $((2 << 20)) /dev/$disk || fail discard
	dd if=/dev/$disk bs=64k skip=64 count=32 iflag=direct 2>/dev/null | md5sum | sed "s/^/discarded /"
	echo "wrote $(md5sum </was$mib)"
done
sync
