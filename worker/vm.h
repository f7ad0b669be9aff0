/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The virtual machine as the device (/dev/plinth or /dev/kvm, linux/kvm.h) sees it: memory, split
 * interrupt controller, message-signalled interrupts. Failures print their own line (diag_error)
 * with cause and remedy.
 */
#ifndef WORKER_VM_H
#define WORKER_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/kvm.h>

#include "worker/memmap.h"

/* The most virtual processors of a child: what the core has room for (PLINTH_MAX_VPS_PER_VM). */
#define VM_CPUS_MAX 64

/* Inputs of the worker's IOAPIC: these GSIs are reserved for it (KVM_CAP_SPLIT_IRQCHIP). */
#define VM_IOAPIC_PINS 24

/*
 * The segments of MEMMAP_SHADOW to MEMMAP_SHADOW_END in the order of the 82441FX's PAM registers
 * (290549, 3.2.9): 12 of 16 KiB, then one of 64 KiB.
 */
#define VM_SHADOW_SEGMENTS 13
#define VM_SHADOW_READ	   1 /* reads come from memory, else from the bus: the firmware, or nobody */
#define VM_SHADOW_WRITE	   2 /* writes go to memory, else to the bus: they are lost */

struct vm {
	const char *device; /* path, the caller's */
	int dev_fd;
	int fd;
	unsigned int cpus_max;	  /* that the device and VM_CPUS_MAX allow */
	size_t run_size;	  /* bytes of a virtual processor's struct kvm_run mapping */
	bool tsc_deadline;	  /* the local APICs have the TSC-deadline mode */
	struct kvm_cpuid2 *cpuid; /* what the device supports */
	struct memmap_ram ram;
	struct memmap_range range[MEMMAP_RANGES_MAX];
	uint8_t *host[MEMMAP_RANGES_MAX]; /* where range[i] is mapped */
	unsigned int ranges;
	uint8_t *rom; /* the firmware, which ends at 4 GiB; NULL if there is none */
	size_t rom_size;
	uint8_t shadow[VM_SHADOW_SEGMENTS]; /* VM_SHADOW_* */
	uint64_t shadow_slots;		    /* segments that the device has a slot for */
	struct kvm_irq_routing *routing;    /* messages of level-triggered IOAPIC pins, see below */
};

/*
 * Opens the device. Returns the descriptor, or a negative errno after having said why.
 */
int vm_open_device(const char *device);

/*
 * Makes a machine without memory or processors on device, of which device_fd, the caller's, is an
 * open descriptor. Returns 0 or a negative errno; on failure nothing is left open. vm_close() undoes it and all that follows.
 */
int vm_open(struct vm *vm, const char *device, int device_fd);
void vm_close(struct vm *vm);

/* Backs the machine with size bytes of zeroed memory, populated as they are touched. */
int vm_add_memory(struct vm *vm, uint64_t size);

/*
 * Puts a copy of a firmware image below 4 GiB, read-only, but for its first @flash bytes, whole pages, which are not there.
 * size is a multiple of 4 KiB, at most 16 MiB. Once.
 */
int vm_add_rom(struct vm *vm, const void *image, size_t size, size_t flash);

/*
 * What a flash part shows where vm_add_rom() has left @size bytes out: @data, whole pages and the caller's, to be read; or
 * (NULL) nothing, so that reads come to the bus as writes do. Processors may be running. Returns 0 or a negative errno
 * after having said why.
 */
int vm_show_flash(struct vm *vm, uint8_t *data, size_t size);

/*
 * Sets what is seen in the shadowed segments. No processor may be running, for a segment is gone
 * for a moment. Returns 0 or a negative errno after having said why.
 */
int vm_set_shadow(struct vm *vm, const uint8_t mode[VM_SHADOW_SEGMENTS]);

/*
 * Memory for an access of the platform's, a bus master or an emulated one, in the direction that
 * write says. Sets *host to the mapping of gpa, NULL where there is none (reads: all ones, writes:
 * lost), and returns how many of len bytes are alike, from 1 on. len is above 0.
 */
uint64_t vm_access(const struct vm *vm, uint64_t gpa, uint64_t len, bool write, uint8_t **host);

/*
 * The host's mapping of guest memory [gpa, gpa + len), shadowed segments included whatever is seen
 * there; NULL if it is not all memory, in one piece.
 */
void *vm_memory(const struct vm *vm, uint64_t gpa, uint64_t len);

/*
 * Sends a message-signalled interrupt (KVM_SIGNAL_MSI). Returns how many processors took it, or a
 * negative errno. Any thread.
 */
int vm_signal_msi(const struct vm *vm, uint64_t address, uint32_t data);

/*
 * Writes of @size bytes to port (@io) or address @at, of any value, signal @eventfd and go nowhere else while @on
 * (KVM_IOEVENTFD). Returns 0 or a negative errno: they come out of KVM_RUN as others do then. Any thread.
 */
int vm_set_doorbell(const struct vm *vm, bool io, uint64_t at, unsigned int size, int eventfd,
		    bool on);

/*
 * Tells the device which message an IOAPIC pin sends, so that it reports the end of its interrupt
 * (KVM_EXIT_IOAPIC_EOI). Only level-triggered pins matter; level = false takes the pin out. The
 * caller serializes the calls.
 */
int vm_set_level_route(struct vm *vm, unsigned int pin, bool level, uint64_t address,
		       uint32_t data);

#endif
