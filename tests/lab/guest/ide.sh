#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# In a child: what test_ide.py has it do with its drives. ide.sh load [FORCE]; then other words, one after the other.

load() { # [libata.force's value]
	for m in $(cat /ide/order); do
		case $m in
		libata.ko) insmod /ide/$m ${1:+force=$1} ;;
		*) insmod /ide/$m ;;
		esac
	done
	echo 32 >/sys/block/sda/queue/max_sectors_kb
}

wait_for() { # DRIVE...: until the kernel has found them
	for name; do
		tries=0
		until [ -b /dev/$name ]; do
			tries=$((tries + 1))
			[ $tries -gt 1200 ] && { echo "no $name"; dmesg | tail -n 40; return 1; }
			usleep 50000
		done
	done
}

sum() { # NAME FILE
	echo "$1 $(md5sum <$2 | cut -d' ' -f1)"
}

# KIB of noise to the disk from its KIB-th on, and back past the caches.
write_and_read() {
	dd if=/dev/urandom of=/noise bs=1k count=$1 2>/dev/null
	dd if=/noise of=/dev/sda bs=4k seek=$(($1 / 4)) conv=fsync 2>/dev/null || echo "write failed"
	dd if=/dev/sda of=/back bs=4k skip=$(($1 / 4)) count=$(($1 / 4)) iflag=direct 2>/dev/null
	sum wrote /noise
	sum read /back
}

data() { # KIB
	wait_for sda sr0 || return
	dmesg | grep -E 'ata[12](\.0[01])?:'
	sum start /dev/sda
	write_and_read $1
	sum cd /dev/sr0
	blockdev --getsize64 /dev/sda
	blockdev --getsize64 /dev/sr0
	grep -E 'ata_piix' /proc/interrupts
}

# The disk at HOST UNIT: letters are given as drives are found.
place() {
	basename /sys/bus/scsi/devices/$1:0:$2:0/block/*
}

three() {
	wait_for sda sdb sdc || return
	for at in 0.0 0.1 1.1; do
		sum ide$at /dev/$(place ${at%.*} ${at#*.})
	done
	b=/dev/$(place 0 1)
	echo "readonly: $(dd if=/noise of=$b bs=4k count=1 oflag=direct 2>&1 | grep -i error)"
	sum ide0.1 $b
}

fill() {
	dd if=/dev/zero of=/dev/sda bs=32k oflag=direct 2>&1
	echo "filled $?"
}

# The disk is 8 MiB, what is behind it has less, until it is told otherwise.
no_space() {
	wait_for sda || return
	fill | grep -i error
	dmesg | grep -m2 -E 'ata1.00: (status|error):'
	sum short /dev/sda
	echo "space please"
	read -r answer
	write_and_read 512
	echo "timed out $(dmesg | grep -c -E 'timeout|frozen')"
}

dd if=/dev/urandom of=/noise bs=4k count=1 2>/dev/null
"$@"
